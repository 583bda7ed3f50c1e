"""The dashboard: draws what the servers say, and hands the terminal over to a command for each key."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections.abc import Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from remote.errors import LoginError
from remote.job.status import ENDED
from remote.operations.watched_servers import WatchedServers
from remote.output import ask, plural, print_lines
from remote.tasks.dashboard import sections
from remote.tasks.dashboard.dialog import Dialog
from remote.tasks.dashboard.drawing import plain
from remote.transport import process

#: Seconds between two looks.
LOOK = 2.0

#: What is typed for a key; the target follows.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "log": ("remote-logs", "JOB", "--tail", "200", "--follow"),
    "attach": ("remote-attach", "JOB"),
    "stop": ("remote-stop", "JOB"),
    "rerun": ("remote-rerun", "JOB"),
    "pull": ("sync-pull",),
    "login": ("remote-ps",),
}

HELP = """\
up, down  choose a job           tab  scroll the GPUs
l, enter  follow its log: Ctrl-C returns, the job keeps running
a         attach to its terminal: Ctrl-B D returns
s         stop it, after a question
r         run it again, exactly
p         pull results and records of its target
c         log in to a server that asks for a password or code
f         refresh now, servers without an answer too
q         quit; the jobs keep running

Each key types the command of that name, which is shown."""


class Dashboard(App[None]):
    """All of it on one screen. `bug` is what a thread raised that asks the servers."""

    CSS = """
    Screen { layout: vertical; }
    #title { text-style: bold; height: 1; }
    #cards { height: auto; max-height: 40%; scrollbar-size-vertical: 1; }
    #remarks, #gpus, #queue, #header { height: auto; }
    #remarks, #queue { max-height: 25%; }
    #header { margin-top: 1; }
    #jobs { height: 1fr; border: none; padding: 0; scrollbar-size-vertical: 1; }
    #jobs > .option-list--option { padding: 0; }
    #jobs > .option-list--option-highlighted { text-style: bold underline; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "type('log')", "Log"),
        Binding("a", "type('attach')", "Attach"),
        Binding("s", "stop", "Stop"),
        Binding("r", "type('rerun')", "Rerun"),
        Binding("p", "type('pull')", "Pull"),
        Binding("c", "login", "Log in"),
        Binding("f", "look(True)", "Refresh"),
        Binding("question_mark", "help", "Help"),
        Binding("q", "quit", "Quit"),
    ]

    class Answered(Message):
        """A server said something."""

    def __init__(self, watched: WatchedServers) -> None:
        # Textual takes NO_COLOR out of it, which is for the commands too.
        self._environment = dict(os.environ)
        # The terminal's own colours.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.watched = watched
        self.bug: BaseException | None = None
        self._shown: list[sections.ShownJob] = []

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="remarks")
        with VerticalScroll(id="cards"):
            yield Static(id="gpus")
        yield Static(id="header")
        yield OptionList(id="jobs")
        yield Static(id="queue")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self.set_interval(LOOK, self.action_look)
        self.action_look()

    # What is shown ----------------------------------------------------------------------------

    def action_look(self, everybody: bool = False) -> None:
        """Ask the servers, in a thread that nobody waits for at the end."""
        threading.Thread(target=self._look, args=(everybody,), daemon=True).start()
        self._draw()

    def _look(self, everybody: bool) -> None:
        try:
            self.watched.look(self._tell, everybody=everybody)
        except BaseException as bug:
            self.bug = bug
            self._tell()

    def _tell(self) -> None:
        self.post_message(self.Answered())

    def on_dashboard_answered(self) -> None:
        if self.bug:
            self.exit()
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if not self.is_running:
            # An answer that comes while the screen is taken down finds half of it.
            return
        servers, room = self.watched.servers, self.size.width
        replies = [
            self.watched.replies[server.key]
            for server in servers
            if server.key in self.watched.replies
        ]
        answers, named = sum(reply.answer is not None for reply in replies), len(servers) > 1
        title = f"{answers} of {plural(len(servers), 'server')} answered"
        title = title if named else servers[0].target.label
        self._put("title", [plain(f"remote-top  {title}  {time.strftime('%H:%M:%S')}")])
        self._put("remarks", sections.remarks(servers, replies, room))
        self._put("gpus", sections.gpu_lines(replies, room - 1, named=named))
        self._put("queue", sections.queue_lines(replies, room, named=named))
        shown = sections.jobs_in_order(replies)
        header, *lines = sections.job_lines(shown, room - 1, named=named) or [
            plain("No job yet. Start one: inv remote-run train.ipynb" if answers else "")
        ]
        self._put("header", [header])
        self._list(shown, lines)

    def _list(self, shown: list[sections.ShownJob], lines: list[Text]) -> None:
        """Show these jobs; the one that was chosen stays it."""
        jobs, before = self.query_one(OptionList), self._selected
        scrolled = jobs.scroll_offset
        self._shown = shown
        with self.batch_update():
            jobs.clear_options()
            jobs.add_options(Option(line) for line in lines)
            if shown:
                jobs.highlighted = self._place_of(before)
                jobs.scroll_to(y=scrolled.y, animate=False)

    def _place_of(self, job: sections.ShownJob | None) -> int:
        same = (
            place
            for place, each in enumerate(self._shown)
            if job and (each.server.key, each.job.id) == (job.server.key, job.job.id)
        )
        return next(same, 0)

    def _put(self, name: str, lines: list[Text]) -> None:
        self.query_one(f"#{name}", Static).update(Text("\n", no_wrap=True).join(lines))

    @property
    def _selected(self) -> sections.ShownJob | None:
        place = self.query_one(OptionList).highlighted
        return None if place is None or place >= len(self._shown) else self._shown[place]

    # What keys do -----------------------------------------------------------------------------

    def on_option_list_option_selected(self) -> None:
        self.action_type("log")

    def action_type(self, name: str) -> None:
        """Type a command about the job that is chosen."""
        chosen = self._selected
        if chosen is None:
            self.notify("No job is chosen.", markup=False)
            return
        self._type(COMMANDS[name], chosen.server.target.label, chosen.job.id)

    def action_stop(self) -> None:
        chosen = self._selected
        if chosen is None or chosen.job.state in ENDED:
            self.notify("No running job is chosen.", markup=False)
            return
        words = (COMMANDS["stop"], chosen.server.target.label, chosen.job.id)
        question = plain(f"Stop {chosen.job.id} on {chosen.server.target.label}? y/n")
        self.push_screen(Dialog(question), lambda yes: self._type(*words) if yes else None)

    def action_login(self) -> None:
        """Log in to the first server that asks its user for something."""
        # Threads that ask add to it meanwhile.
        for reply in [*self.watched.replies.values()]:
            if isinstance(reply.error, LoginError):
                self._type(COMMANDS["login"], reply.server.target.label)
                self.action_look(everybody=True)
                return
        self.notify("No server asks for a login.", markup=False)

    def action_help(self) -> None:
        self.push_screen(Dialog(Text(HELP)))

    def _type(self, command: tuple[str, ...], target: str, job: str = "") -> None:
        """Run a command of ours in this terminal, as if it was typed."""
        words = [job if word == "JOB" else word for word in command] + ["--target", target]
        with self.suspend():
            print_lines(f"$ inv {shlex.join(words)}")
            code = process.in_terminal(
                [sys.executable, "-m", "invoke", *words], env=self._environment
            )
            if command is not COMMANDS["attach"] or code:
                ask("Enter returns to remote-top: ")
                sys.stdin.readline()
        self.action_look()
