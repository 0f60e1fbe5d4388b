"""A vLLM general plugin that keeps linear weights writable on the CPU."""

from recipe.sage.cpu import is_active


def register() -> None:
    """vLLM's CPU backend packs linear weights into private buffers at load, so a later weight sync would write nowhere.

    Use plain ``F.linear`` on the live weight instead, so that every sync takes effect.
    """
    if not is_active():
        return
    import torch
    from vllm.model_executor.layers import utils

    def dispatch(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = dispatch
