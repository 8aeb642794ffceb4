"""种类: of all that can happen in a world, how often each does; a further fault is one more row."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation import steps
from tests.simulation.files import carry, mislay
from tests.simulation.keys import change_keys, misuse, telephone
from tests.simulation.moving import move_on
from tests.simulation.plan import Plan
from tests.simulation.restoring import back_up, mend
from tests.simulation.world import World

Step = Callable[[World, str], None]
Weight = Callable[[Plan], float]

KINDS: dict[str, tuple[Weight, Step]] = {
    "command": (lambda _: 50, steps.command),
    "hop": (lambda _: 22, steps.hop),
    "deliver": (lambda _: 8, steps.deliver),
    "answer": (lambda _: 6, steps.answer),
    "work": (lambda _: 11, steps.work),
    "time": (lambda _: 5, steps.pass_time),
    "full": (lambda plan: 100 * plan.rates["full"], steps.fill),
    "cut": (lambda plan: 100 * plan.rates["cut"], steps.cut),
    "broker": (lambda plan: 100 * plan.rates["broker"], steps.break_broker),
    "attack": (lambda plan: 100 * plan.rates["attack"], steps.attack),
    "poison": (lambda plan: 100 * plan.rates["poison"], steps.poison),
    "backup": (lambda plan: 200 * plan.rates["restore"], back_up),
    "mend": (lambda plan: plan.rates["restore"] and 6 + 400 * plan.rates["restore"], mend),
    "keys": (lambda plan: 100 * plan.rates["rekey"], change_keys),
    "misuse": (lambda plan: 60 * plan.rates["rekey"], misuse),
    "telephone": (lambda plan: 60 * plan.rates["rekey"], telephone),
    "move": (lambda plan: 100 * plan.rates["move"], move_on),
    "carry": (lambda plan: 24 if plan.files else 0, carry),
    "mislay": (lambda plan: 3 if plan.files else 0, mislay),
}
"""By name: how often, given the plan of this history, and what."""


def take(world: World) -> None:
    """One step."""
    rng, rates = world.rng, world.plan.rates
    code = rng.choice(world.codes)
    if rng.random() < rates["crash"]:
        world.points.arm(rng.randint(1, 8))
    if rng.random() < rates["unheard"]:
        world.points.unheard = True
    kind = rng.choices(list(KINDS.values()), world.weights)[0][1]
    if code == world.plan.slow and kind in {steps.hop, steps.deliver} and rng.random() < 0.9:
        return
    world.surviving(code, lambda: kind(world, code))
    world.points.unheard = False
