"""The lab from beginning to end: make the sockets, keep one of each there, take everything down.

Owns the timetable and the cleaning up. Must not know how a state is made.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TextIO

from sockui.errors import SockuiError
from sockui.lab.namespaces import Namespaces, may_make_namespaces
from sockui.lab.recipes import RECIPES, Recipe, choose
from sockui.lab.scene import ActorDiedError, Cast, Made, Scene
from sockui.model import state_name

_NUMBERS = {recipe.name: number for number, recipe in enumerate(RECIPES, 1)}  # their addresses, 10.9.NUMBER.x
_LOOK = 0.2  # seconds between looks at whether the children live and whether to end


class Lab:
    """A context: inside it the sockets exist, after it nothing does.

    ``names`` as :func:`~sockui.lab.recipes.choose` takes them. With root everything is in the network
    namespaces ``namespace`` and ``namespace``-peer, without root on this one's loopback. ``say`` gets a
    line for each thing made or skipped at the beginning.

    Raises UsageError for an unknown name, NamespaceError if the namespaces cannot be made.
    """

    def __init__(
        self, names: Sequence[str] = (), *, namespace: str = "lab", say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.recipes = choose(names)
        self.namespace = namespace if may_make_namespaces() else None
        self.skipped: dict[str, str] = {}  # recipe name -> why it was not made
        self.finished: dict[str, float] = {}  # recipe name -> CLOCK_MONOTONIC when it had grown as far as it can
        self.broken: str | None = None  # why the lab cannot go on
        self._say = say
        self._scenes: dict[str, list[Scene]] = {}  # oldest first
        self._due: dict[str, float] = {}  # recipe name -> CLOCK_MONOTONIC of its next making
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lab-keeper", daemon=True)

    @property
    def made(self) -> list[Made]:
        """What was made and not taken away again; of what ends by itself the older ones may have ended."""
        with self._lock:
            return [made for scenes in self._scenes.values() for scene in scenes for made in scene.made]

    def __enter__(self) -> Self:
        self._cast = Cast(Namespaces(self.namespace) if self.namespace else None)
        try:
            for recipe in self.recipes:
                self._first(recipe)
            self._keeper.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove the namespaces."""
        self._stop.set()
        self._cast.kill()  # before the join: a stopped child would never answer the keeper
        if self._keeper.is_alive():
            self._keeper.join()
        self._cast.close()
        if self._cast.namespaces:
            self._cast.namespaces.close()

    def make(self, recipe: Recipe) -> None:
        """Make it (once more), and take away what was made two times before: that has ended by itself."""
        with self._lock:
            scenes = self._scenes.setdefault(recipe.name, [])
            if scenes and recipe.grows_every is not None:
                scene = scenes[-1]
                scene.turn += 1
            else:
                scene = Scene(recipe.name, _NUMBERS[recipe.name], self._cast)
                scene.turn = scenes[-1].turn + 1 if scenes else 0
                scenes.append(scene)
            try:
                recipe.make(scene)
            except (OSError, SockuiError):
                if recipe.grows_every is None:
                    scenes.remove(scene)
                    scene.strike()
                raise
            if len(scenes) > 2:
                scenes.pop(0).strike()
            again = recipe.again_after if scene.lasts is None else scene.lasts * 0.75
            if scene.finished is not None:
                self.finished[recipe.name] = scene.finished
            if again is None or scene.finished is not None:
                self._due.pop(recipe.name, None)
            else:
                now = time.monotonic()
                self._due[recipe.name] = max(now, self._due.get(recipe.name, now) + again)  # a rate that does not drift

    def _first(self, recipe: Recipe) -> None:
        if recipe.needs_root and not self.namespace:
            self.skipped[recipe.name] = (
                "needs CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW" if os.geteuid() == 0 else "needs root"
            )
        else:
            try:
                self.make(recipe)
            except ActorDiedError:
                raise
            except (OSError, SockuiError) as error:
                self.skipped[recipe.name] = str(error)
        if recipe.name in self.skipped:
            self._say(f"{recipe.name:<22} skipped: {self.skipped[recipe.name]}")
            return
        made = self._scenes[recipe.name][-1].made
        alike = Counter((each.state, each.pid) for each in made)
        for each in made:
            count = alike.pop((each.state, each.pid), 0)
            if count:
                self._say(_line(each, recipe, count - 1))

    def _keep(self) -> None:
        while not self._stop.wait(self._pause()):
            dead = self._cast.dead()
            if dead or (self._cast.namespaces and self._cast.namespaces.broken):
                what = f"{dead[0].name} (pid {dead[0].pid})" if dead else "the process that removes the namespaces"
                self.broken = f"{what} died, so the lab is taken down"
                return
            for recipe in self.recipes:
                if not self._stop.is_set() and self._due.get(recipe.name, float("inf")) <= time.monotonic():
                    self._make_again(recipe)

    def _pause(self) -> float:
        now = time.monotonic()
        return max(0.0, min([_LOOK, *(due - now for due in self._due.values())]))

    def _make_again(self, recipe: Recipe) -> None:
        try:
            self.make(recipe)
        except ActorDiedError as error:
            if not self._stop.is_set():
                self.broken = f"{error}, so the lab is taken down"
        except (OSError, SockuiError) as error:
            self.skipped[recipe.name] = f"could not be made again: {error}"
            self._due.pop(recipe.name, None)


def run_lab(names: Sequence[str], *, namespace: str = "lab", out: TextIO | None = None) -> int:
    """Make the sockets, say on ``out`` (stdout) what they are, and keep them until a signal to end.

    For the main thread. Returns an exit code: 0 after SIGINT, SIGTERM or SIGHUP, 1 if nothing was made or it broke.
    """
    stream = out or sys.stdout

    def say(line: str) -> None:
        stream.write(line + "\n")
        stream.flush()

    # A handler that only takes note: nothing can break off the cleaning up. What nohup ignores stays ignored.
    ended: list[int] = []
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    taken = {each: handler for each, handler in before.items() if handler != signal.SIG_IGN}
    for each in taken:
        signal.signal(each, lambda number, _: ended.append(number))
    try:
        with Lab(names, namespace=namespace, say=say) as lab:
            if not lab.made:
                return 1
            say(f"Look at them: sockui --netns {lab.namespace}" if lab.namespace else "Look at them: sockui")
            say("Ctrl-C ends them all.")
            while not ended and lab.broken is None:
                time.sleep(_LOOK)  # a signal is seen at the next look
            if lab.broken:
                say(lab.broken)
            return 1 if lab.broken else 0
    finally:
        for each, handler in taken.items():
            signal.signal(each, handler)


def list_lab(out: TextIO | None = None) -> None:
    """Write the table of what can be made, in 80 columns."""
    stream = out or sys.stdout

    def table(recipes: Sequence[Recipe]) -> None:
        stream.write(f"{'NAME':<22} {'STATE':<12} {'ROOT':<5}WHAT\n")
        for recipe in recipes:
            root = "yes" if recipe.needs_root else ""
            stream.write(f"{recipe.name:<22} {recipe.state.name:<12} {root:<5}{recipe.says}\n")

    table([recipe for recipe in RECIPES if not recipe.alone])
    stream.write(
        "\nOnly when named, one at a time: they make masses of sockets, or change the\n"
        "settings of the lab's own network namespace, which would spoil the others.\n"
    )
    table([recipe for recipe in RECIPES if recipe.alone])


def _line(made: Made, recipe: Recipe, more: int) -> str:
    ends = f"{made.local[0]}:{made.local[1]}"
    if made.remote[1]:
        ends += f" -> {made.remote[0]}:{made.remote[1]}"
    who = f"{made.process}[{made.pid}]" if made.pid else "kernel"
    return f"{made.name:<22} {state_name(made.state, recipe.protocol):<11} {ends}  {who}" + (
        f"  +{more} more" if more else ""
    )
