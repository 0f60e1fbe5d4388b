"""The gate measured where the policy stands still: rollouts of the base model on hinted and plain prompts.

    source scripts/cpu_env.sh && python -m sage.toy.claims.gate --task opchain --out results/opchain/gate.json

``--model`` and ``--kinds`` measure another policy, for instance what a run has trained, on some kinds of problems.

For every prompt and level, ``ESTIMATE`` rollouts give the success rate, and as many others, cut into groups of G, how
often a group is mixed and what energy it carries. From n rollouts of which c are correct, the chance that G of them are
all correct or all wrong is C(c, G) + C(n - c, G) over C(n, G), which makes 1 minus it an unbiased estimate of u(p);
c (n - c) / (n (n - 1)) is one of p (1 - p).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from math import comb
from pathlib import Path
from statistics import fmean

from sage.evaluation.generate import Decoding, Replicas, Request
from sage.hints.writer import request_seed
from sage.method.gate import advantage_energy
from sage.support.arguments import at_least
from sage.support.files import write_text
from sage.toy.claims.judge import Part
from sage.toy.embedded.tasks import CPU_ENGINE, KINDS, PROMPTS, TASKS, base_model, load_task, plain_prompt

GROUP_SIZE, ESTIMATE, PROBLEMS = 8, 64, 40
SEED = 31
"""Of the problems. Some may be a run's as well; the model that is measured has trained on none."""
LEVELS = range(4)
LOGS = Path("outputs/gate")
"""Folder for the engine's log."""


def unbiased_gate(correct: int, drawn: int, group_size: int) -> float:
    """Estimate of u(p) (SAGE Eq. 7) from ``correct`` of ``drawn`` rollouts, at least G of them."""
    return 1.0 - (comb(correct, group_size) + comb(drawn - correct, group_size)) / comb(drawn, group_size)


def measure_gate(task: str, model: str, out: Path, kinds: Sequence[str], estimate: int) -> None:
    """Draw the rollouts with vLLM and write the numbers of correct ones: 20,480 rollouts a kind, minutes on a CPU.

    Args:
        model: of the task.
        out: JSON file: for each kind and level, a row a problem, its correct rollouts of `ESTIMATE` and of each group.
        kinds: of problems.
        estimate: rollouts from which a success rate is estimated; as many are cut into groups.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    make_problems, is_correct = load_task(task).make_problems, load_task(task).is_correct
    problems = {f"{kind}/{n}": p for kind in kinds for n, p in enumerate(make_problems(kind, PROBLEMS, SEED))}
    requests = []
    for name, problem in problems.items():
        for level in LEVELS:
            plain = plain_prompt(problem)
            text = PROMPTS.hinted_text(plain, problem.text, problem.checkpoint(level)) if level else plain
            ids = tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=True, return_dict=False
            )
            keys = [(str(level), name, number) for number in range(2 * estimate)]
            requests.append([Request(key, ids, request_seed(SEED, *key)) for key in keys])
    correct: dict[tuple[str, str], list[bool]] = {}
    with Replicas(model, dict(CPU_ENGINE), Decoding(1.0, 1.0, 56), [None], LOGS) as replicas:
        answers = {g.key: is_correct(g.text, problems[g.key[1]].answer) for g in replicas.run(requests)}
    for key in sorted(answers):
        correct.setdefault(key[:2], []).append(answers[key])
    table: dict[str, dict[str, list[list[int]]]] = {kind: {str(level): [] for level in LEVELS} for kind in kinds}
    for (at, name), found in sorted(correct.items()):
        starts = range(estimate, 2 * estimate, GROUP_SIZE)
        groups = [sum(found[start : start + GROUP_SIZE]) for start in starts]
        table[name.split("/")[0]][at].append([sum(found[:estimate]), *groups])
    record = {"group_size": GROUP_SIZE, "estimate": estimate, "correct": table}
    write_text(out, json.dumps(record, separators=(",", ":")) + "\n")


def gate_rows(path: Path) -> list[dict[str, float]]:
    """For each level, over all problems: mean success, mixed groups and u(p), standardised and centred energy."""
    record = json.loads(path.read_text(encoding="utf-8"))
    size, drawn = record["group_size"], record["estimate"]
    rows = []
    for level in LEVELS:
        problems = [row for levels in record["correct"].values() for row in levels[str(level)]]
        rows.append(
            {
                "level": level,
                "groups": sum(len(row) - 1 for row in problems),
                "success": fmean(row[0] / drawn for row in problems),
                "mixed": fmean(_mixed(row, size) for row in problems),
                "u(p)": fmean(unbiased_gate(row[0], drawn, size) for row in problems),
                "energy (Eq. 6)": fmean(_energy(row, size) for row in problems),
                "centred energy": fmean(_centred(row, size) for row in problems),
                "Eq. 17": fmean(_expected(row, drawn, size) for row in problems),
            }
        )
    return rows


def gate_parts(path: Path, margin: float) -> list[Part]:
    """That measured and expected differ by little, over problems; a value is a problem's mean over the levels.

    Args:
        path: file of `measure_gate`; it need not exist.
        margin: the difference that counts as little, as a part of the expected mean.
    """
    names = ("mixed groups - u(p)", "centred energy - Eq. 17")
    if not path.is_file():
        return [Part(name, margin, {}, (path.name,), within=True) for name in names]
    record = json.loads(path.read_text(encoding="utf-8"))
    size, drawn = record["group_size"], record["estimate"]
    problems = [rows for kind in record["correct"].values() for rows in zip(*kind.values(), strict=True)]
    pairs = (
        (_mixed, lambda row: unbiased_gate(row[0], drawn, size)),
        (_centred, lambda row: _expected(row, drawn, size)),
    )
    parts = []
    for name, (measured, expected) in zip(names, pairs, strict=True):
        wanted = [fmean(map(expected, rows)) for rows in problems]
        found = [fmean(measured(row, size) for row in rows) for rows in problems]
        differences = {i: f - w for i, (f, w) in enumerate(zip(found, wanted, strict=True))}
        parts.append(Part(name, round(margin * fmean(wanted), 4), differences, within=True))
    return parts


def _mixed(row: Sequence[int], size: int) -> float:
    return fmean(0 < found < size for found in row[1:])


def _energy(row: Sequence[int], size: int) -> float:
    return fmean(advantage_energy([1.0] * found + [0.0] * (size - found)) for found in row[1:])


def _centred(row: Sequence[int], size: int) -> float:
    return fmean(found / size * (1 - found / size) for found in row[1:])


def _expected(row: Sequence[int], drawn: int, size: int) -> float:
    return (size - 1) / size * row[0] * (drawn - row[0]) / (drawn * (drawn - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--model", help="folder of the model (default: the task's base model)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument(
        "--estimate", type=at_least(1), default=ESTIMATE, help="rollouts for a success rate, and for groups"
    )
    args = parser.parse_args()
    measure_gate(args.task, args.model or base_model(args.task), args.out, args.kinds, args.estimate)
    for row in gate_rows(args.out):
        print(f"level {row['level']}: success {row['success']:.3f}, mixed groups {row['mixed']:.3f}")


if __name__ == "__main__":
    main()
