"""Drives fledge chat in a real pseudo-terminal, with the model of tests/data/chat.

    chat_terminal.py FLEDGE SOURCES WORK

Keys go in, the screen's bytes come out. Each step waits for what it expects.
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

fledge, sources, work = sys.argv[1:]
model = os.path.join(sources, "tests/data/chat")
LETTERS = "BCDEFGHIJKLMNOPQRSTUVWXYZ"
LEFT, UP, HOME, CTRL_C, CTRL_D, CTRL_W, CTRL_R, TAB, BACKSPACE = "\033[D", "\033[A", "\001", "\003", "\004", "\027", "\022", "\t", "\177"
WAIT = 20  # seconds, for what comes in milliseconds when the machine is not busy
checks, failed = 0, 0


def check(what, good, seen=""):
    global checks, failed
    checks += 1
    if not good:
        failed += 1
        print(f"FAIL {what}; on the screen: {seen[-400:]!r}")


class Terminal:
    def __init__(self, *args, **env):
        self.bytes, self.seen = b"", 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": work, "HOME": work, **env})
            if "NO_COLOR" not in env:
                os.environ.pop("NO_COLOR", None)
            os.execv(fledge, [fledge, "chat", model, *args])
        self.resize(80)

    def resize(self, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read(self):
        """What has come by now; False at the end."""
        try:
            more = os.read(self.fd, 65536)
        except OSError:  # Linux: the other side is closed
            more = b""
        self.bytes += more
        return bool(more)

    def text(self):
        return self.bytes.decode(errors="replace")

    def plain(self):
        """The screen's text so far without escape sequences."""
        return re.sub(r"\033\[[0-9;?]*[A-Za-z]|\033[=>]|\r", "", self.text())

    def expect(self, text, what=None):
        """Wait for it after what was expected last."""
        end = time.time() + WAIT
        while self.plain().find(text, self.seen) < 0 and time.time() < end:
            if select.select([self.fd], [], [], 0.2)[0] and not self.read():
                break
        at = self.plain().find(text, self.seen)
        check(what or text, at >= 0, self.plain()[self.seen:])
        self.seen = at + len(text) if at >= 0 else self.seen
        while text.endswith("> ") and time.time() < end and termios.tcgetattr(self.fd)[3] & termios.ICANON:
            time.sleep(0.005)  # keys go to the terminal and not to the editor yet

    def prompt(self):
        """The figures, and the next prompt: before it, keys go to the terminal and not to the editor."""
        self.expect("of 512")
        self.expect("> ")

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def ask(self, line, answer, what=None):
        self.type(line + "\n")
        self.expect(answer, what)

    def end(self):
        """The exit status."""
        end = time.time() + WAIT
        while time.time() < end:
            if select.select([self.fd], [], [], 0.2)[0] and not self.read():
                break
        pid, status = 0, 0
        while not pid and time.time() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            time.sleep(0.02)
        if not pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return "still running"
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def check_editing():
    t = Terminal()
    t.expect("> ")
    t.ask("A", "\n" + LETTERS, "an answer")
    t.prompt()
    check("figures are dim", "\033[2m" in t.text(), t.text())
    t.ask("qA" + LEFT + BACKSPACE, "\n" + LETTERS, "left and backspace")
    t.prompt()
    t.ask("xyz Q" + CTRL_W + "W", "\nXYZ", "a word deleted")
    t.prompt()
    t.ask("Y" + HOME + "no answer but ", "\nZ", "the beginning of the line")
    t.prompt()
    t.ask(UP + UP + UP, "\n" + LETTERS, "three lines back in history")
    t.prompt()
    t.ask(CTRL_R + "but", "\nZ", "found in history")  # the first newline ends the search, and the line
    t.prompt()
    t.ask("é!", "\né", "characters of two bytes")
    t.prompt()
    t.ask("#", "�[", "escape sequences from the model are not obeyed")
    t.prompt()
    t.ask("one \\\ntwo V", "\nWXYZ", "a line that goes on")
    t.prompt()
    t.ask('"""\nthree\nfour U\n"""', "\nVWXYZ", "a block")
    t.prompt()
    t.ask("\033[200~pasted,\rwith an é:\nS\033[201~\bT", "\nUVWXYZ", "a paste of several lines, edited")
    t.prompt()
    t.ask("/show-prompt", "user\npasted,\nwith an é:\nT<|im_end|>")
    t.expect("> ")
    t.type(CTRL_D)
    check("Ctrl-D ends with 0", t.end() == 0, t.text())
    check("history is kept, for its owner only", os.stat(os.path.join(work, "fledge/chat_history")).st_mode & 0o777 == 0o600)
    t = Terminal()
    t.expect("> ")
    t.ask(UP * 7, "", "history of the last time")
    t.ask("/quit", "")
    check("/quit ends with 0", t.end() == 0, t.text())


def check_commands():
    saved = os.path.join(work, "saved.json")
    t = Terminal("--system", "Count.")
    t.expect("> ")
    t.ask("/help", "/retry")
    t.ask("Y", "\nZ")
    t.prompt()
    t.ask("/stats", "wrote     2 tokens")
    t.ask("/st" + TAB, "answers", "Tab completes a command")
    t.ask("/show-prompt", "<|im_start|>system\nCount.<|im_end|>")
    t.ask("/save " + saved, "3 messages in")
    t.ask("/reset", "forgotten")
    t.ask("/retry", "there is no answer yet")
    t.ask("/load " + saved, "3 messages from")
    t.ask("/retry", "\nZ")
    t.prompt()
    t.ask("/system Be brief.", "next answer")
    t.ask("/temp 3x", "expected a number")
    t.ask("/temp 0", "temperature 0")
    t.ask("/sve x", "did you mean /save")
    t.ask("/save", "which file?")
    t.ask("/load /nowhere/x", "No such file")
    t.ask("/show-prompt", "system\nBe brief.<|im_end|>")
    t.ask("/quit", "")
    check("exit 0", t.end() == 0, t.text())
    with open(saved) as f:
        messages = json.load(f)["messages"]
    check("saved", messages == [{"role": "system", "content": "Count."}, {"role": "user", "content": "Y"}, {"role": "assistant", "content": "Z"}])


def check_interrupts():
    t = Terminal("--context-shift")
    t.expect("> ")
    t.type("0\n")  # digits for ever
    t.expect("1234567890123")
    t.type(CTRL_C)
    t.expect("; stopped", "Ctrl-C stops the answer")
    t.expect("> ", "and the prompt is back")
    t.ask("Y", "\nZ", "and the conversation goes on")
    t.prompt()
    t.type("half a li" + CTRL_C)
    t.expect("Ctrl-C again", "Ctrl-C at the prompt clears the line")
    t.ask("X", "\nYZ", "what was typed is gone")
    t.prompt()
    t.type('"""\nin a block' + CTRL_C)
    t.expect("Ctrl-C again", "Ctrl-C leaves a block")
    t.type(CTRL_C)
    check("Ctrl-C twice at the prompt ends with 0", t.end() == 0, t.text())
    t = Terminal("--context-shift")
    t.expect("> ")
    t.type("0\n")
    t.expect("1234567890123")
    os.kill(t.pid, signal.SIGTERM)
    check("SIGTERM ends with 130", t.end() == 130, t.text())


def check_window():
    t = Terminal(NO_COLOR="1")
    t.expect("> ")
    t.resize(40)
    t.type("a line that is longer than forty columns, so that it wraps W")
    t.resize(100)
    t.ask("", "\nXYZ", "typing goes on through changes of the window")
    t.prompt()
    check("NO_COLOR", "\033[2m" not in t.text() and "\033[3" not in t.text(), t.text())
    t.ask("/quit", "")
    t.end()


check_editing()
check_commands()
check_interrupts()
check_window()
print(f"{checks} checks, {failed} failed")
sys.exit(failed > 0)
