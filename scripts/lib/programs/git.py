"""git over smart HTTP through git-http-backend, a CGI program."""

import os
import shutil
import subprocess
import threading

from programs.payload import random_bytes
from programs.table import Wrong, expect

BACKEND = "/usr/lib/git-core/git-http-backend"
# http.postBuffer: with the first every request of git goes in chunks, with the second a long one in gzip.
CHUNKED, COMPRESSED = "65536", "1048576"
BRANCHES = 200
MEGABYTES = 4


class Git:
    """A git with no configuration but ours, in a directory."""

    def __init__(self, work, place=None):
        self.work = work
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_") and "proxy" not in name.lower()},
            "HOME": str(work),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "A Developer",
            "GIT_AUTHOR_EMAIL": "developer@example.org",
            "GIT_COMMITTER_NAME": "A Developer",
            "GIT_COMMITTER_EMAIL": "developer@example.org",
        }
        self.options = ["-c", "protocol.version=2"]
        if place:
            self.url = f"http://{place.host}:{place.port}/git"
            # The name of the site needs no resolver.
            self.options += ["-c", f"http.curloptResolve={place.host}:{place.port}:127.0.0.1", "-c", f"http.postBuffer={CHUNKED}"]

    def run(self, *arguments, inside=None, trace=False):
        """(standard output, standard error) of a command that must succeed."""
        environment = {**self.environment, "GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"} if trace else self.environment
        found = subprocess.run(
            ["git", *self.options, *map(str, arguments)],
            cwd=inside or self.work,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
        if found.returncode:
            raise Wrong(f"git {arguments[0]}: {found.stderr[-400:]}")
        return found.stdout, found.stderr

    def refs(self, repository):
        return self.run("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", inside=repository)[0]


def make_repositories(work):
    """work/git: `project.git` with some MB, many branches and a push allowed; `small.git` for many clients."""
    git, bare = Git(work), work / "git"
    bare.mkdir()
    for name, megabytes in (("project", MEGABYTES), ("small", 0)):
        source = work / f"{name}.source"
        git.run("init", "-q", "-b", "main", source)
        (source / "README").write_text(f"# {name}\n\n<b>plain</b> & simple\n")
        (source / "data").mkdir()
        for number in range(megabytes):
            (source / "data" / f"{number}.bin").write_bytes(random_bytes(1 << 20, number))
        git.run("add", ".", inside=source)
        git.run("commit", "-q", "-m", "the first of them", inside=source)
        if megabytes:
            history(git, source)
        git.run("clone", "-q", "--bare", source, bare / f"{name}.git")
        git.run("config", "http.receivepack", "true", inside=bare / f"{name}.git")
    shutil.rmtree(work / "project.source")


def history(git, source):
    """Branches, each with a commit of its own: by fast-import, for a process each takes long."""
    lines = []
    for number in range(BRANCHES):
        text = f"branch {number}\n"
        lines.append(
            f"commit refs/heads/branch-{number}\ncommitter A Developer <developer@example.org> {1700000000 + number} +0000\n"
            f"data {len(text)}\n{text}from refs/heads/main^0\nM 644 inline file-{number}\ndata {len(text)}\n{text}\n"
        )
    subprocess.run(["git", "fast-import", "--quiet"], input="".join(lines), cwd=source, env=git.environment, text=True, check=True)


def check(table, place, work):
    git, bare = Git(work, place), work / "git" / "project.git"
    clone, second = work / "clone", work / "second"

    def row(what):
        return table.check("git", "cgi", what)

    with row(f"clone: {MEGABYTES} MB, {BRANCHES} branches, asked for in gzip"):
        said = git.run("-c", f"http.postBuffer={COMPRESSED}", "clone", "--mirror", f"{git.url}/project.git", clone, trace=True)[1]
        if "send header: content-encoding: gzip" not in said.lower():
            raise Wrong("git did not compress its request")
        git.run("fsck", "--full", "--strict", inside=clone)
        expect(git.refs(clone), git.refs(bare), "branches")
    with row("clone with the older protocol, shallow"):
        git.run("-c", "protocol.version=0", "clone", "-q", "--depth", "1", f"{git.url}/project.git", second)
        expect(git.run("rev-parse", "HEAD", inside=second), git.run("rev-parse", "main", inside=bare), "HEAD")
    with row(f"push of {MEGABYTES} MB, in chunks"):
        (second / "more.bin").write_bytes(random_bytes(MEGABYTES << 20, "more"))
        git.run("add", ".", inside=second)
        git.run("commit", "-q", "-m", "some MB more", inside=second)
        said = git.run("push", "origin", "HEAD:main", inside=second, trace=True)[1].lower()
        if "send header: transfer-encoding: chunked" not in said:
            raise Wrong("git did not send it in chunks")
        git.run("fsck", "--full", "--strict", inside=bare)
        expect(git.run("rev-parse", "HEAD", inside=second), git.run("rev-parse", "main", inside=bare), "main")
    with row("fetch of it, in chunks"):
        said = git.run("fetch", "origin", inside=clone, trace=True)[1]
        if "send header: transfer-encoding: chunked" not in said.lower():
            raise Wrong("git did not send it in chunks")
        git.run("fsck", "--full", inside=clone)
        expect(git.refs(clone), git.refs(bare), "branches")
    with row("push of a branch and its deletion"):
        git.run("push", "-q", "origin", "HEAD:refs/heads/short", inside=second)
        expect("refs/heads/short" in git.refs(bare), True, "the branch is there")
        git.run("push", "-q", "origin", ":refs/heads/short", inside=second)
        expect("refs/heads/short" in git.refs(bare), False, "the branch is there")
    with row("a repository that is not there: refused"):
        try:
            git.run("ls-remote", f"{git.url}/absent.git")
        except Wrong as wrong:
            if "not found" not in str(wrong):
                raise
        else:
            raise Wrong("it was there")


class Load:
    """Clones by many clients at once, each of which is a process or several: for so many a clone each will do."""

    def __init__(self, work):
        self.work, self.lock, self.count = work, threading.Lock(), 0

    def __call__(self, client, number):
        git = Git(self.work, client.place)
        with self.lock:
            self.count += 1
            target = self.work / "clones" / f"{os.getpid()}-{self.count}"
        git.run("clone", "-q", "--bare", f"{git.url}/small.git", target)
        expect(git.refs(target), git.refs(self.work / "git" / "small.git"), "branches")
        shutil.rmtree(target)
