"""cgit, a CGI program in C: pages about the repositories that git.py makes."""

import gzip
import io
import tarfile

from programs.client import ask, get_ok
from programs.git import Git
from programs.payload import random_bytes
from programs.table import Wrong, expect

PROGRAM = "/usr/lib/cgit/cgit.cgi"


def write_configuration(work):
    path = work / "cgitrc"
    path.write_text(
        f"virtual-root=/cgit\ncache-size=0\nenable-http-clone=0\nsnapshots=tar.gz\nenable-commit-graph=1\nscan-path={work}/git\n"
    )
    return path


def check(table, place, work):
    def row(what):
        return table.check("cgit", "cgi", what)

    def page(path, *parts):
        text = get_ok(place, path).text()
        for part in parts:
            if part not in text:
                raise Wrong(f"{path}: no {part} in {len(text)} bytes")

    with row("index, summary, log, tree, refs, commit, diff"):
        page("/cgit/", "project.git", "small.git")
        page("/cgit/project.git/", "some MB more", "branch-1")
        page("/cgit/project.git/log/", "the first of them")
        page("/cgit/project.git/log/?h=branch-7", "branch 7")
        page("/cgit/project.git/tree/", "README", "more.bin")
        page("/cgit/project.git/tree/README", "&lt;b&gt;plain")
        page("/cgit/project.git/refs/heads", *(f"branch-{number}" for number in range(0, 200, 20)))
        page("/cgit/project.git/commit/?h=branch-3", "branch 3", "file-3")
        page("/cgit/project.git/diff/?h=branch-4", "file-4")
    with row("a file of 1 MB as it is, and one that is text"):
        expect(get_ok(place, "/cgit/project.git/plain/data/1.bin").body == random_bytes(1 << 20, 1), True, "it is the file")
        answer = get_ok(place, "/cgit/project.git/plain/README")
        expect(answer.text().splitlines()[0], "# project", "the first line")
    with row("HEAD"):
        expect(ask(place, "/cgit/project.git/", "HEAD").body, b"", "body of HEAD")
    with row("a snapshot: a tar in gzip"):
        name = "project-main.tar.gz"
        archive = tarfile.open(fileobj=io.BytesIO(gzip.decompress(get_ok(place, f"/cgit/project.git/snapshot/{name}").body)))
        found = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
        expect(found["project-main/data/2.bin"] == random_bytes(1 << 20, 2), True, "the file in it is the file")
        expect(found["project-main/more.bin"] == random_bytes(4 << 20, "more"), True, "what was pushed is in it")
    with row("what is not there: 404"):
        for path in ("/cgit/absent.git/", "/cgit/project.git/plain/absent"):
            expect(ask(place, path).status, 404, path)
    with row("the commit that git has"):
        commit = Git(work).run("rev-parse", "main", inside=work / "git" / "project.git")[0].strip()
        page(f"/cgit/project.git/commit/?id={commit}", commit, "some MB more")


def load(client, number):
    path, part = (("/cgit/", "project.git"), ("/cgit/small.git/log/", "the first of them"), ("/cgit/project.git/tree/", "README"))[number % 3]
    answer = client.ask(path)
    expect(answer.status, 200, f"{path}: status")
    if part not in answer.text():
        raise Wrong(f"{path}: no {part}")
