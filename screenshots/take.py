"""Pictures of the real program looking at the lab's real sockets: ``make screenshots``.

Owns which pictures there are. Each is taken from the running UI, after its sockets have been stuck for a while;
nothing is drawn by hand.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import resvg_py

from sockui.clipboard import Clipboard
from sockui.collector import open_collector
from sockui.collector.namespace import enter_namespace
from sockui.config import Config
from sockui.lab.run import Lab
from sockui.tui.app import SockuiApp

HERE = Path(__file__).parent
FONT = "DejaVu Sans Mono"  # Textual's own is fetched from the network, and other fonts shift the columns
INSIDE = """
echo web-3 >/proc/sys/kernel/hostname
mount --bind "$1" /mnt
exec /mnt/bin/python screenshots/take.py inside
"""
FONTS = ["/usr/share/fonts"]
INCIDENT = ("close-wait-leak", "listen-full", "fin-wait2-held", "retransmitting", "zero-window", "time-wait")
STUCK_FOR = 45.0  # s before the pictures, so that ages are worth looking at
CELL = 9.5  # pixels of a picture for a cell


@dataclass(frozen=True)
class Picture:
    """One picture: what is pressed before it is taken."""

    name: str
    size: tuple[int, int] = (120, 36)
    keys: tuple[str, ...] = ()
    config: Config = field(default_factory=Config)
    filter: str = ""
    on: str = ""  # the recipe whose socket, or the rule whose finding, the cursor is put on
    looks: int = 1  # polls before it is taken, one second apart: a trend needs some


SOCKETS = Config(view="sockets")
PICTURES = (
    Picture("findings", (120, 36), config=Config(view="findings"), on="R02", looks=20),
    Picture("sockets", (150, 40), config=SOCKETS, on="close-wait-unread"),
    Picture("explainer", (120, 46), config=SOCKETS, on="syn-sent"),
    Picture("processes", (120, 24), ("3",), SOCKETS),
    Picture("remediation", (110, 40), ("r", "down"), SOCKETS, on="close-wait-unread"),
    Picture("meaning", (110, 36), ("i",), SOCKETS, on="fin-wait2-held"),
    Picture("states", (100, 30), ("D",), SOCKETS, on="close-wait-unread"),
    Picture("filter", (120, 30), ("slash", *" and age > 20s and ("), SOCKETS),
    Picture("small", (80, 24), config=SOCKETS, on="zero-window"),
    Picture("light", (120, 36), config=Config(theme="light", view="sockets"), on="fin-wait1"),
)


async def take(picture: Picture, lab: Lab, directory: Path) -> None:
    """Run the UI without a terminal, press the keys, save what is on the screen."""
    clipboard = Clipboard("file", os.environ, lambda _: None, directory=directory)
    filter_text = "state close-wait" if picture.name == "filter" else picture.filter
    app = SockuiApp(picture.config, partial(open_collector, "netlink"), filter_text, clipboard, start_polling=False)
    async with app.run_test(size=picture.size) as pilot:
        await app.begun.wait()
        for look in range(picture.looks):
            if look:
                await asyncio.sleep(1)
            app.poller.tick()
            await pilot.pause()
        if picture.config.view == "findings":
            await pilot.press("g")
            while (found := app.main.body.selected_finding) is None or found.rule != picture.on:
                await pilot.press("down")
        elif picture.on:
            made = next(made for made in lab.made if made.name == picture.on)
            view = app.main.view
            assert view is not None
            rows = view.update.sockets
            for key, port, peer in zip(view.update.keys, rows["local_port"], rows["remote_port"], strict=True):
                if (int(port), int(peer)) == (made.local[1], made.remote[1]):
                    app.main.body.table.go_to(int(key))
            await pilot.pause()
        for press in picture.keys:
            await pilot.press(press)
            await pilot.pause()
        svg = app.export_screenshot(title="sockui", simplify=True).replace("Fira Code", FONT).replace("arial", FONT)
    (HERE / f"{picture.name}.svg").write_text(svg)
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=int(picture.size[0] * CELL), font_dirs=FONTS, monospace_family=FONT
    )
    (HERE / f"{picture.name}.png").write_bytes(bytes(png))


def main() -> int:
    """Make the lab, wait until its sockets have aged, take every picture.

    In namespaces of its own: the pictures show the lab's processes and no others, on a host called web-3.
    """
    if os.geteuid() != 0:
        print("the lab's states need network namespaces: run as root", file=sys.stderr)
        return 2
    if sys.argv[1:] != ["inside"]:
        apart = ["unshare", "--pid", "--fork", "--mount-proc", "--uts", "--kill-child", "sh", "-c", INSIDE]
        return subprocess.run([*apart, "sh", sys.prefix], cwd=HERE.parent, check=False).returncode
    few = [picture for picture in PICTURES if picture.config.view == "findings"]
    for names, pictures in (INCIDENT, few), ((), [picture for picture in PICTURES if picture not in few]):
        with ThreadPoolExecutor(1) as pool:  # a thread that enters a namespace stays there
            pool.submit(visit, names, pictures).result()
    return 0


def visit(names: Sequence[str], pictures: Sequence[Picture]) -> None:
    """Make a lab of its own, let it age, and take pictures of it."""
    with Lab(names, namespace="lab") as lab, tempfile.TemporaryDirectory() as directory:
        assert lab.namespace is not None
        end = time.monotonic() + STUCK_FOR
        while time.monotonic() < end:
            time.sleep(0.2)
        enter_namespace(lab.namespace)
        for picture in pictures:
            asyncio.run(take(picture, lab, Path(directory)))
            print(f"screenshots/{picture.name}.svg, .png")


if __name__ == "__main__":
    sys.exit(main())
