"""Evaluation of one model on several benchmarks: what is missing is sampled, graded and written; then scored."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sage.evaluation.benchmarks import PRIVATE
from sage.evaluation.generate import Decoding, Generation, Replicas, Request, replica_devices
from sage.evaluation.problems import Problem
from sage.evaluation.scores import averages, score
from sage.evaluation.store import TOO_LONG, Sample, SampleFile, check_settings, noted_settings
from sage.grading.choices import chosen
from sage.grading.pool import available_cores
from sage.grading.responses import find_boxes, without_thoughts
from sage.grading.verifier import Verifier, load_verifier
from sage.hints.prompts import Message
from sage.hints.writer import request_seed
from sage.support.documents import read_json
from sage.support.files import write_json
from sage.support.model import ChatTemplate

Benchmarks = Mapping[str, Sequence[Problem]]


@dataclass(frozen=True)
class Settings:
    """How every model is evaluated."""

    samples: int
    decoding: Decoding
    seed: int
    system: str
    """System turn of prompts that do not bring their own messages; empty for none."""
    verifier: str
    responses: bool
    """Whether responses are stored, outside `PRIVATE` benchmarks."""

    def of_samples(self) -> dict[str, Any]:
        """What each sample depends on, beside model and problem."""
        return {**asdict(self.decoding), "seed": self.seed, "system": self.system, "verifier": self.verifier}


def messages(problem: Problem, system: str) -> list[Message]:
    """The chat messages of a problem: its own, or the question after the system turn. Never a hint."""
    if problem.messages:
        return list(problem.messages)
    turns = [{"role": "system", "content": system}] if system else []
    return [*turns, {"role": "user", "content": problem.question}]


def extract_answer(verifier: Verifier, problem: Problem, response: str) -> str | None:
    r"""The answer that a response ends in, as the verifier reads it: by its own method ``extract_answer`` if it has
    one, else the letter chosen, or what the last ``\boxed{}`` holds, or several that belong together."""
    own: Callable[[str], str | None] | None = getattr(verifier, "extract_answer", None)
    if own:
        return own(response)
    text = without_thoughts(response)
    boxes = find_boxes(text)
    return chosen(text, boxes) if problem.choices else boxes.final


class Evaluation:
    """The samples of one model.

    Args:
        folder: holds a file for each benchmark, ``settings.json`` and, in the end, ``summary.json``.
        benchmarks: their problems, by name.
        settings: how responses are drawn and graded.
    """

    def __init__(self, folder: Path, benchmarks: Benchmarks, settings: Settings) -> None:
        self.folder = folder
        self.benchmarks = benchmarks
        self.settings = settings
        self._files = {name: SampleFile(folder / f"{name}.jsonl") for name in benchmarks}
        self._write = threading.Lock()

    def missing(self) -> dict[str, dict[str, list[int]]]:
        """Numbers of the samples that are not on file, by benchmark and problem."""
        found = {}
        for name, problems in self.benchmarks.items():
            # A prompt that was too long is tried again: the engine's context may be longer now.
            done = {key for key, sample in self._files[name].read().items() if sample.finish != TOO_LONG}
            wanted = range(self.settings.samples)
            todo = {p.problem_id: [n for n in wanted if (p.problem_id, n) not in done] for p in problems}
            found[name] = {problem_id: numbers for problem_id, numbers in todo.items() if numbers}
        return found

    def begin(self, identity: dict[str, Any], digests: dict[str, str]) -> None:
        """Note what the samples depend on.

        Args:
            identity: what the model is, and whatever else is the same for all samples of this folder.
            digests: of each benchmark (`sage.evaluation.benchmarks.problems_digest`).

        Raises:
            ValueError: those on file depend on something else.
        """
        check_settings(self.folder / "settings.json", identity | self.settings.of_samples(), digests)

    def sample(self, model: str, template: ChatTemplate, engine: dict[str, Any], replicas: int | None) -> None:
        """Draw and grade what is missing.

        Args:
            model: path or name for vLLM.
            template: its chat template.
            engine: arguments of vLLM's engine.
            replicas: how many engines; None for as many as the visible GPUs allow, or one on a CPU.

        Raises:
            EngineError: an engine ended.
            ValueError: the template does not take a problem's messages, or the GPUs are too few.
        """
        missing = self.missing()
        groups = list(self._requests(template, missing))
        verifier = load_verifier(self.settings.verifier)
        devices = replica_devices(engine, replicas)
        problems = {(name, p.problem_id): p for name, ps in self.benchmarks.items() for p in ps}
        total = self.settings.samples * len(problems)
        todo = sum(len(group) for group in groups)
        print(
            f"{todo} of {total} samples to draw, {len(devices)} replica(s); loading (log: {self.folder}/replica*.log)"
        )
        grading: deque[Future[None]] = deque()
        with (
            Replicas(model, engine, self.settings.decoding, devices, self.folder) as started,
            ThreadPoolExecutor(available_cores() + 2) as pool,
            tqdm(total=total, initial=total - todo, unit="sample", mininterval=1.0) as bar,
        ):

            def grade(generation: Generation) -> None:
                name, problem_id, number = generation.key
                sample = self._graded(verifier, name, problems[name, problem_id], number, generation)
                with self._write:
                    self._files[name].append(sample)
                    bar.update()

            for generation in started.run(self._fitting(groups, started.context_length, bar)):
                grading.append(pool.submit(grade, generation))
                while grading and grading[0].done():
                    grading.popleft().result()
            for future in grading:
                future.result()

    def finish(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Sort the files, score them and write ``summary.json``, whose content is returned.

        Benchmarks that were scored before with the same settings stay in it.

        Args:
            facts: put in front, such as the model's name.
        """
        scores = {}
        for name, problems in self.benchmarks.items():
            file = self._files[name]
            file.sort([p.problem_id for p in problems])
            samples = file.read()
            numbers = range(self.settings.samples)
            scores[name] = score([[samples[p.problem_id, n] for n in numbers] for p in problems])
        path = self.folder / "summary.json"
        settings = {"samples": self.settings.samples, **noted_settings(self.folder / "settings.json")}
        before = read_json(dict[str, Any], path, "delete it") if path.exists() else {}
        if before.get("settings") == settings:
            there = {path.stem for path in self.folder.glob("*.jsonl")}
            scores = {name: each for name, each in before["benchmarks"].items() if name in there} | scores
        summary = facts | {"settings": settings, "benchmarks": scores} | averages(scores)
        write_json(path, summary)
        return summary

    def _requests(
        self, template: ChatTemplate, missing: Mapping[str, Mapping[str, list[int]]]
    ) -> Iterator[list[Request]]:
        for name, problems in self.benchmarks.items():
            for problem in problems:
                numbers = missing[name].get(problem.problem_id)
                if not numbers:
                    continue
                ids = template.encode(messages(problem, self.settings.system))
                key = (name, problem.problem_id)
                yield [Request((*key, n), ids, request_seed(self.settings.seed, *key, n)) for n in numbers]

    def _fitting(self, groups: Sequence[list[Request]], context: int, bar: tqdm) -> Iterator[list[Request]]:
        """The groups whose prompt leaves room for a response; the samples of others are written as not correct."""
        wanted = self.settings.decoding.max_tokens
        if cramped := sum(0 < context - len(group[0].prompt) < wanted for group in groups):
            bar.write(
                f"{cramped} problems leave less than {wanted} tokens of the context of {context}; their responses are "
                "cut off there (--engine max_model_len=..)"
            )
        for group in groups:
            if len(group[0].prompt) < context:
                yield group
                continue
            for request in group:
                name, problem_id, number = request.key
                with self._write:
                    self._files[name].append(Sample(problem_id, number, None, False, 0, TOO_LONG))
                    bar.update()

    def _graded(
        self, verifier: Verifier, benchmark: str, problem: Problem, number: int, generation: Generation
    ) -> Sample:
        text = generation.text
        correct = verifier.is_correct(text, problem.answer)
        answer = extract_answer(verifier, problem, text)
        stored = text if self.settings.responses and benchmark not in PRIVATE else None
        return Sample(problem.problem_id, number, answer, correct, generation.tokens, generation.finish, stored)
