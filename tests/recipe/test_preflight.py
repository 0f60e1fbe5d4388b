"""What is refused before Ray, by kind; that all of it is said at once; and what is harmless."""

import copy
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import MISSING, OmegaConf

from recipe.sage.preflight import Refused, check_run, preflight
from recipe.sage.preflight.opening import open_model, open_prompts
from recipe.sage.preflight.rules import RULES, Run
from recipe.sage.preflight.values import VALUES, full
from recipe.sage.preview import Preview
from sage.support.values import wanted
from tests.recipe.launching import composed

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "examples/opchain_base"


@pytest.fixture(scope="module")
def tiny(data):
    return composed([f"data.train_files={data}/train.parquet", f"data.val_files={data}/test.parquet"], "tiny_cpu")


@pytest.fixture
def run(tiny, tmp_path, monkeypatch):
    """The run of the embedded world with values changed."""
    monkeypatch.chdir(ROOT)

    def changed(*overrides, **values):
        config = copy.deepcopy(tiny)
        config.merge_with_dotlist([f"trainer.default_local_dir={tmp_path}/run", *overrides])
        for key, value in values.items():
            config.data[key] = value
        return config

    return changed


ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"


@pytest.mark.parametrize(
    "override, message",
    [
        ("data.train_batch_size=0", "must be a whole number of at least 1"),
        ("data.train_batch_size=16.5", "must be a whole number of at least 1"),
        ("data.shuffle=maybe", "must be true or false"),
        ("data.train_max_samples=0", "must be -1 or a whole number of at least 1; -1 takes all"),
        ("data.train_max_samples=8", r"train_batch_size=16 exceeds the 8 training rows"),
        ("data.gen_batch_size=32", "must divide data.train_batch_size=16"),
        (f"{ACTOR}.optim.lr=-1e-6", "must be a number above 0"),
        (f"{ACTOR}.optim.lr=5", "of at most 1"),
        (f"{ACTOR}.clip_ratio_high=-0.2", "must be a number above 0"),
        (f"{ACTOR}.loss_agg_mode=mean", "must be token-mean, "),
        (f"{ROLLOUT}.temperature=0", "the rollouts of a group are all the same"),
        (f"{ROLLOUT}.top_p=0", "must be a number above 0 and of at most 1"),
        (f"{ROLLOUT}.val_kwargs.top_p=1.2", "must be a number above 0 and of at most 1"),
        (f"{ROLLOUT}.gpu_memory_utilization=90", "of at most 1"),
        (f"{ROLLOUT}.dtype=fp16", "must be auto, half, "),
        ("trainer.resume_mode=always", "must be auto, disable or resume_path"),
        ("trainer.total_training_steps=0", "must be a whole number of at least 1 or null"),
        ("trainer.n_gpus_per_node=abc", "trainer.n_gpus_per_node=abc must be a whole number"),
        ("trainer.balance_batch=5", "trainer.balance_batch=5 must be true or false"),
        ("trainer.v1.trainer_mode=sync", "must be sage_sync, .*; others know no hints"),
        ("trainer.logger=[console,wandbb]", r"must hold some of wandb, .*, file"),
        ("trainer.logger=[]", "must hold some of wandb"),
        ("trainer.logger=3", "trainer.logger=3 must be a text or a list, each item a text"),
        ("trainer.default_local_dir=", "trainer.default_local_dir=None must be a text; a folder"),
        ("data=null", "data=None must be a block of keys: leave it as verl has it"),
        ("actor_rollout_ref.model=7", "actor_rollout_ref.model=7 must be a block of keys"),
        ("ray_kwargs.ray_init=null", "ray_kwargs.ray_init=None must be a block of keys"),
        (f"{ROLLOUT}.engine_kwargs.vllm=3", "engine_kwargs.vllm=3 must be a block of keys"),
        ("sage=3", "sage=3 is no block of keys"),
        ("sage.solved_threshold=0", "at 0 every rollout would be correct"),
        ("sage.solved_key=accuracy", r"returns no key 'accuracy' \(sage.solved_key\), only 'score', 'acc'"),
        ("sage.verifier=nowhere.py:V", "sage.verifier=nowhere.py:V: nowhere.py cannot be imported"),
        ("reward.custom_reward_function.path=nowhere.py", "reward.custom_reward_function.path=nowhere.py, name="),
        ("reward.custom_reward_function.name=scores", "name=scores cannot be loaded"),
        ("reward.reward_manager.name=naiv", "reward.reward_manager.name=naiv"),
        ("actor_rollout_ref.model.external_lib=recipe.none", "external_lib=recipe.none cannot be imported"),
        ("actor_rollout_ref.model.path=./nowhere", "does not exist: give a folder"),
        (f"{ROLLOUT}.expert_parallel_size=3", "verl refuses it: expert_parallel_size must be equal"),
    ],
)
def test_a_value_is_refused_in_one_sentence_with_its_key(override, message, run):
    with pytest.raises(Refused, match=message) as refused:
        check_run(run(override))
    assert len(refused.value.args) == 1, refused.value.args
    assert override.partition("=")[0].rpartition(".")[2] in str(refused.value) or "train_batch_size" in message


@pytest.mark.parametrize("key", ["data.train_files", "trainer", "reward.reward_model.enable"])
def test_a_key_that_is_taken_away_is_named(key, run):
    config = run()
    OmegaConf.set_struct(config, False)
    above, _, name = key.rpartition(".")
    del (OmegaConf.select(config, above) if above else config)[name]
    for check in (check_run, lambda config: preflight(config, {})):
        with pytest.raises(Refused, match=f"{key} is missing, which verl reads: leave it as verl has it"):
            check(config)


@pytest.mark.parametrize("override", ["trainer.nnodes=abc", "trainer.logger=3", "trainer.default_local_dir=null"])
def test_a_wrong_value_does_not_stop_the_check_of_the_machine(override, run):
    with pytest.raises(Refused, match=override.partition("=")[0]) as refused:
        preflight(run(override, "actor_rollout_ref.model.path=/nowhere"), {})
    assert any("/nowhere" in line for line in refused.value.args)


def test_equal_validation_samples_are_refused(run):
    for greedy in ("do_sample=false", "temperature=0"):
        with pytest.raises(Refused, match=r"val_kwargs.n=16 would give as many equal answers"):
            check_run(run(f"{ROLLOUT}.val_kwargs.n=16", f"{ROLLOUT}.val_kwargs.{greedy}"))


def test_all_problems_are_said_at_once(run):
    with pytest.raises(Refused) as refused:
        preflight(
            run(
                "sage.patience=2",
                "data.train_batch_size=-1",
                "data.val_files=nowhere.parquet",
                "trainer.logger=[wandbb]",
                "trainer.default_local_dir=/etc/hostname",
                "actor_rollout_ref.model.path=/nowhere",
            ),
            {},
        )
    found = refused.value.args
    keys = ("sage.patience", "data.train_batch_size", "data.val_files", "trainer.logger", "trainer.default_local_dir")
    assert len(found) == 6 and {key for key in keys for line in found if line.startswith(key)} == set(keys), found
    assert "\n- trainer.logger" in str(refused.value)


def rows_of(data, name, edit):
    """A copy of the validation or training file with each row edited."""
    return pa.Table.from_pylist([edit(row) for row in pq.read_table(data / f"{name}.parquet").to_pylist()])


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda row: {**row, "prompt": row["prompt"][0]["content"]}, "prompt is not a list of messages"),
        (lambda row: {**row, "prompt": json.dumps(row["prompt"])}, "prompt is not a list of messages"),
        (lambda row: {**row, "reward_model": None}, "ground_truth is missing"),
    ],
)
def test_validation_rows_are_looked_at(edit, message, run, data, tmp_path):
    pq.write_table(rows_of(data, "test", edit), tmp_path / "val.parquet")
    with pytest.raises(Refused, match=message):
        check_run(run(val_files=f"{tmp_path}/val.parquet"))


def test_files_that_hold_nothing_or_do_not_go_together_are_refused(run, data, tmp_path):
    pq.write_table(pq.read_table(data / "test.parquet").slice(0, 0), tmp_path / "empty.parquet")
    pq.write_table(rows_of(data, "test", lambda row: {**row, "data_source": 7}), tmp_path / "other.parquet")
    for files, message in (
        (f"{tmp_path}/empty.parquet", "has no rows"),
        ([f"{data}/test.parquet", f"{tmp_path}/other.parquet"], "data.val_files: .*other.parquet cannot be put behind"),
        ([], "data.val_files names no file"),
        ("~/val.parquet", "begins with ~, which verl does not expand"),
        (f"{tmp_path}", "is not a Parquet file|does not exist"),
    ):
        with pytest.raises(Refused, match=message):
            check_run(run(val_files=files))
    with pytest.raises(Refused, match=r"data.train_files names no file"):
        check_run(run(train_files=""))


@pytest.mark.parametrize(
    "body, message",
    [
        ("return {'score': 0.0}", r"returns no key 'acc' \(sage.solved_key\)"),
        ("return {'score': 0.0, 'acc': 'no'}", "returns acc='no'"),
        ("raise KeyError('x')", "fails for a wrong answer to row 0 of .*: KeyError: 'x'"),
        ("return 0.0", None),
        ("return {'score': 0, 'acc': True}", None),
    ],
)
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_the_reward_function_is_called_once(kind, body, message, run, tmp_path):
    (tmp_path / "reward.py").write_text(f"{kind} compute_score(**inputs):\n    {body}\n")
    config = run(f"reward.custom_reward_function.path={tmp_path}/reward.py")
    if message is None:
        check_run(config)
    else:
        with pytest.raises(Refused, match=message):
            check_run(config)


@pytest.mark.parametrize(
    "without, message",
    [
        (["chat_template.jinja"], "has no chat template"),
        (["model.safetensors"], "holds no weights"),
        (["config.json"], "it has no config.json"),
        (["tokenizer.json", "tokenizer_config.json"], "cannot be opened"),
    ],
)
def test_a_model_folder_that_lacks_something_is_named(without, message, run, tmp_path):
    shutil.copytree(MODEL, tmp_path / "model")
    for name in without:
        (tmp_path / "model" / name).unlink()
    with pytest.raises(ValueError, match=message):
        open_model(run(f"actor_rollout_ref.model.path={tmp_path}/model"))


@pytest.mark.parametrize(
    "override, message",
    [
        ("target_modules=[nope]", r"target_modules=\['nope'\] does not fit .*: .*not found in the base model"),
        ("target_modules=[q_proj]", None),
        ("target_modules=all-linear", None),
        ("lora_adapter_path=/no/adapter", "lora_adapter_path=/no/adapter has no adapter_config.json"),
    ],
)
def test_an_adapter_that_does_not_fit_the_model_is_refused(override, message, run):
    config = run("actor_rollout_ref.model.lora_rank=8", f"actor_rollout_ref.model.{override}")
    if message is None:
        open_model(config)
    else:
        with pytest.raises(ValueError, match=message):
            open_model(config)


@pytest.mark.parametrize(
    "override, message",
    [
        ("attn_implementation=flashy", r"override_config \(attn_implementation=flashy\): .* is not supported"),
        ("attn_implementation=flash_attention_2", r"flash_attention_2\): ImportError: .* to be installed"),
        ("hidden_size=-3", "cannot be made with .*hidden_size=-3"),
    ],
)
def test_a_model_that_cannot_be_made_as_the_overrides_say_is_refused(override, message, run):
    config = run()
    OmegaConf.set_struct(config, False)
    config.merge_with_dotlist([f"actor_rollout_ref.model.override_config.{override}"])
    with pytest.raises(ValueError, match=message) as refused:
        open_model(config)
    assert len(str(refused.value).splitlines()) == 1


def test_flash_attention_may_be_installed_where_the_workers_are(run, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config = run("actor_rollout_ref.model.override_config.attn_implementation=flash_attention_2")
    config.trainer.device = "cuda"
    open_model(config)


HYBRID = (
    (MODEL / "chat_template.jinja")
    .read_text()
    .replace(
        "{{ '<|assistant|>' }}",
        "{{ '<|assistant|>' }}{% if enable_thinking is false %}{{ '<think></think>' }}"
        "{% elif forced %}{{ '<think>' }}{% endif %}",
    )
)


@pytest.fixture
def hybrid(run, tmp_path):
    """A run of a model whose template can open or close a reasoning block."""
    shutil.copytree(MODEL, tmp_path / "model")
    (tmp_path / "model/chat_template.jinja").write_text(HYBRID)

    def changed(*switches):
        config = run(f"actor_rollout_ref.model.path={tmp_path}/model")
        OmegaConf.set_struct(config, False)
        config.merge_with_dotlist(list(switches))
        return config

    return changed


ROLLOUTS, REQUESTS = "data.apply_chat_template_kwargs", "sage.hint_template_kwargs"


def test_a_switch_that_the_template_does_not_know_is_refused(hybrid):
    open_model(hybrid(f"{ROLLOUTS}.enable_thinking=false", f"{REQUESTS}.enable_thinking=true"))
    switches = (f"{ROLLOUTS}.enable_thinkin=false", f"{REQUESTS}.thinking=true", f"{REQUESTS}.tokenize=false")
    with pytest.raises(ValueError) as refused:
        open_model(hybrid(*switches))
    first, second, third = str(refused.value).splitlines()
    assert first.startswith(f"{ROLLOUTS}.enable_thinkin is no switch of the chat template of ")
    assert second.startswith(f"{REQUESTS}.thinking is no switch")
    assert third == f"{REQUESTS}.tokenize is set already and cannot be chosen"
    with pytest.raises(Refused, match="enable_thinkin is no switch"):
        preflight(hybrid(*switches), {})


def test_the_preview_shows_both_templates_and_warns_of_reasoning(hybrid):
    row = {"prompt_id": "1", "problem": "b8?", "solution": "b8", "prompt": [{"role": "user", "content": "b8?"}]}
    preview = Preview(hybrid(f"{ROLLOUTS}.enable_thinking=false", f"{REQUESTS}.enable_thinking=true"))
    assert preview.templates_in_words(row).splitlines() == [
        "== chat template", "-- rollouts: enable_thinking=False", "-- hint requests: enable_thinking=True"
    ]  # fmt: skip
    shown = preview.show(row)
    assert shown.count("<|assistant|><think></think>") == 2 and shown.count("<|assistant|>\n") == 1
    unset = Preview(hybrid("sage.hint_thinking_tokens=20", f"{REQUESTS}.forced=true")).templates_in_words(row)
    assert "rollouts: no switches\n   WARNING: enable_thinking is not set, so the model may reason: that" in unset
    assert "WARNING: it opens a reasoning block (<think>): there is room for 20 tokens of it" in unset
    both = Preview(hybrid(f"{ROLLOUTS}.forced=true")).templates_in_words(row)
    assert both.count("WARNING: it opens") == 2 and "it shares sage.hint_max_tokens" in both


def test_prompts_that_do_not_fit_are_refused_or_counted(run):
    config = run("data.max_prompt_length=20", "sage.hint_max_tokens=16")
    tokenizer = open_model(config)
    with pytest.raises(ValueError, match=r"prompts are longer than data.max_prompt_length=20 tokens, the first in row"):
        open_prompts(config, tokenizer)
    config.data.filter_overlong_prompts = True
    left = open_prompts(config, tokenizer)
    assert 0 < left < 160
    config.data.train_batch_size = left + 1
    with pytest.raises(ValueError, match=rf"exceeds the {left} training rows of at most data.max_prompt_length=20"):
        open_prompts(config, tokenizer)
    config.data.max_prompt_length = 2
    with pytest.raises(ValueError, match=r"data.val_files hold no prompt of at most"):
        open_prompts(config, tokenizer)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["trainer.logger=console"],
        ["trainer.save_freq=20", "trainer.test_freq=-1"],
        ["data.train_max_samples=20", "data.val_max_samples=3"],
        ["data.gen_batch_size=8"],
        [f"{ACTOR}.use_kl_loss=true"],
        ["actor_rollout_ref.model.lora_rank=8"],
    ],
)
def test_what_is_harmless_passes(overrides, run):
    begin = preflight(run(*overrides), {})[2]
    assert "from scratch" in begin


def test_the_tables_are_in_words_and_of_keys_that_exist(tiny):
    assert all(wanted(kind) for kind in VALUES.values())
    known = Run(tiny)
    for rule in RULES:
        if ".megatron." not in rule.key:
            assert OmegaConf.select(known.config, full(rule.key), default=MISSING) != MISSING, rule.key
