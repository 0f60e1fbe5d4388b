"""Entry point: ``python -m recipe.sage.main_sage [hydra overrides]``."""

from __future__ import annotations

import hydra
import ray
from omegaconf import DictConfig
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config
from verl.utils.device import auto_set_device

from recipe.sage.settings import check_run, describe_run


class SageTaskRunner(TaskRunnerV1.__ray_metadata__.modified_class):
    """verl's V1 task runner in whose process our trainer and advantage estimator are registered."""

    def run(self, config: DictConfig) -> None:
        from recipe.sage import algorithm, trainer  # noqa: F401  (registers)

        super().run(config)


@hydra.main(config_path="config", config_name="sage_trainer", version_base=None)
def main(config: DictConfig) -> None:
    """Check the run, say what it will do, and hand it to verl."""
    auto_set_device(config)
    validate_config(config=config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    sage, report = check_run(config)
    print(describe_run(config, sage, report), flush=True)
    run_ppo(config, task_runner_class=ray.remote(SageTaskRunner))


if __name__ == "__main__":
    main()
