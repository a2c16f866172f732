"""The catalogue of events, what emits them and what reacts: three lists that must agree."""

from __future__ import annotations

import ast

from flask import Flask

from core.outbox import CATALOGUE
from tests.house.tree import dotted, modules, parsed
from workers.queues import BATCH_OF, QUEUE_OF, QUEUES, REACTIONS
from workers.schedule import JOBS


def test_every_event_has_its_reaction(app: Flask) -> None:
    assert set(REACTIONS) == set(CATALOGUE)


def test_every_event_is_a_past_participle_of_a_noun_and_says_what_it_means(app: Flask) -> None:
    for name, event in CATALOGUE.items():
        noun, _, participle = name.partition(".")
        assert noun.isidentifier(), name
        assert participle.isidentifier(), name
        assert event.meaning.endswith("."), name


def test_every_reaction_has_a_queue_a_batch_and_a_task() -> None:
    wanted = {reaction for reactions in REACTIONS.values() for reaction in reactions}
    assert wanted == set(QUEUE_OF) == set(BATCH_OF)
    assert set(QUEUE_OF.values()) <= set(QUEUES)
    assert {f"pipeline.{reaction}" for reaction in wanted} <= set(tasks())


def test_every_beat_asks_for_a_task_that_exists() -> None:
    assert {job.task for job in JOBS} <= set(tasks())


def tasks() -> list[str]:
    """The names of all tasks."""
    return [
        str(keyword.value.value)
        for path in modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and dotted(node.func) == "shared_task"
        for keyword in node.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    ]


def test_every_declared_event_is_emitted_somewhere() -> None:
    declared = {}
    used: set[str] = set()
    for path in modules():
        for node in ast.walk(parsed(path)):
            if (
                path.name == "events.py"
                and isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Call)
                and isinstance(node.targets[0], ast.Name)
            ):
                argument = node.value.args[0]
                assert isinstance(argument, ast.Constant)
                declared[node.targets[0].id] = argument.value
            elif isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used.add(node.id)
    assert len(declared) == len(CATALOGUE)
    assert {name for constant, name in declared.items() if constant not in used} == set()
