"""Real programs behind the server. Called by scripts/check-programs, which says what it is for."""

import shutil
import subprocess
import sys

import serving
from programs import cgit, git, php, python
from programs.counts import Sampler, Watched, strays
from programs.fronts import FASTCGI_CONNECTIONS, PROXY_KEPT, Monkey, Others, PalmServer
from programs.parallel import CLIENTS, static_alone, together
from programs.table import Table
from serving import say

# Seconds without progress after which the server gives up a request; scripts sleep for twice as long. Under many clients it is the
# other: requests wait for their turn no longer than that either.
LIMIT = 2
LIMIT_OF_MANY = 30
# Where a backend that was gone is left alone for a second, and asked again after that.
BACK = 5
# Anonymous memory that the second run of all clients may end above the first: which pages of the buffers come to be used is chance.
GROWTH_KB = 48
# Descriptors more than at the start. Connections that are kept are no leak.
SPARE = {"monkey": (FASTCGI_CONNECTIONS + serving.WORKERS * PROXY_KEPT, "connections kept to php-fpm and the HTTP server")}


class Stage:
    """Everything that runs, in a directory of its own."""

    def __init__(self, front, only):
        self.table, self.load_rows, self.count_rows = Table(), [], []
        self.work = serving.make_work_directory()
        self.www = self.work / "www"
        (self.work / "clones").mkdir()
        php.write_site(self.work, self.www)
        python.write_site(self.www)
        git.make_repositories(self.work)
        cgit.write_configuration(self.work)
        self.fpm, self.backend, self.palm = php.Fpm(self.work), python.Backend(), PalmServer(self.work, self.www)
        self.wanted = [name for name in front.names if not only or name in only]
        self.front = front(self.work, self.www, LIMIT, self.wanted, self.fpm, self.palm, self.backend)
        needed = (("fpm", self.fpm), ("app", self.backend), ("palm", self.palm))
        self.things = [*(thing for name, thing in needed if name in self.wanted), self.front]
        self.table.otherwise = self.front.others

    def start(self):
        for thing in self.things:
            thing.start()

    def stop(self):
        for thing in reversed(self.things):
            thing.stop()

    def kinds(self):
        """What there is to check at each site: (name, program, way, the checks, what many clients ask)."""
        place, table = self.front.place, self.table
        yield "fpm", "php", "fastcgi", lambda: php.check(table, "fastcgi", place("fpm"), LIMIT), php.load
        yield "palm", "php", "palm", lambda: php.check(table, "palm", place("palm"), LIMIT), php.load
        yield "cgi", "php", "cgi", lambda: php.check(table, "cgi", place("cgi"), LIMIT), php.load
        yield "git", "git", "cgi", lambda: git.check(table, place("git"), self.work), git.Load(self.work)
        yield "cgit", "cgit", "cgi", lambda: cgit.check(table, place("cgit"), self.work), cgit.load
        yield "python", "python", "cgi", lambda: python.check_cgi(table, place("python"), self.front.said), python.load_cgi
        yield "app", "python", "proxy", lambda: python.check_proxy(table, place("app"), LIMIT), python.load_proxy

    def run(self):
        kinds = [kind for kind in self.kinds() if kind[0] in self.wanted]
        watched = [Watched("monkey", self.front.running)] if isinstance(self.front, Monkey) else []
        watched += [Watched("palm", self.palm.running)] if "palm" in self.wanted else []
        for name, program, way, check, _ in kinds:
            say(f"-- {program}, {way}")
            check()
        _, self.alone = static_alone(self.front.place(kinds[0][0]))
        self.front.limit(LIMIT_OF_MANY)
        with Sampler(watched):
            for turn in (1, 2):
                for name, program, way, _, load in kinds:
                    say(f"-- {program}, {way}: {CLIENTS} clients, {turn} of 2")
                    self.many(turn, program, way, self.front.place(name), load)
                for each in watched:
                    self.counted(turn, each)
        self.stopped(kinds)

    def many(self, turn, program, way, place, load):
        with self.table.check(program, way, f"{CLIENTS} clients at once, {turn} of 2"):
            done, rate, errors, middle, late = together(place, load)
            ratio = round(late / self.alone, 1)
            self.load_rows.append((program, way, turn, done, round(rate), len(errors), round(self.alone), round(middle), round(late), ratio))
            if errors:
                raise OSError(f"{len(errors)} errors: {errors[0]}")

    def counted(self, turn, watched):
        """A row of what it had and has, and whether that is right."""
        spare, why = SPARE.get(watched.name, (0, ""))
        now, good = watched.settled(spare)
        with self.table.check(watched.name, "", f"processes and descriptors given back, {turn} of 2"):
            if not good:
                raise OSError(f"{watched.start} at the start, {now} at the end")
        if turn == 2:
            grown = now["anonymous KB"] - watched.before["anonymous KB"]
            binding = serving.MONKEY.is_relative_to(serving.TARGET_DIR / "static")
            with self.table.check(watched.name, "", f"memory at most {GROWTH_KB} KB above the first run"):
                if binding and grown > GROWTH_KB:
                    raise OSError(f"{grown} KB")
        watched.before = now
        for name, value in now.items():
            note = f"at most {spare} more: {why}" if spare and name == "descriptors" else ""
            self.count_rows.append((watched.name, turn, name, watched.start[name], watched.peaks.get(name, "-"), value, note))

    def stopped(self, kinds):
        """The backends go and come back."""
        names = [kind[0] for kind in kinds]
        place, table = self.front.place, self.table
        for thing, name, way in ((self.fpm, "fpm", "fastcgi"), (self.palm, "palm", "palm")):
            if name in names:
                thing.stop()
                php.check_stopped(table, way, place(name))
                thing.start()
                php.check_back(table, way, place(name), BACK)
        if "app" in names:
            self.backend.stop()
            python.check_stopped(table, place("app"))
            self.backend.start()
            python.check_back(table, place("app"), BACK)

    def nothing_left(self):
        with self.table.check("all", "", "no process is left when all are stopped"):
            left = strays(self.work)
            if left:
                raise OSError(f"{left}")


def versions():
    def first_line(*command):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()[0]

    return f"PHP {php.version()}, {first_line('git', '--version')}, {first_line(sys.executable, '--version')}"


def main():
    arguments = sys.argv[1:]
    front = Others if "--others" in arguments else Monkey
    only = [argument for argument in arguments if argument != "--others"]
    for name in only:
        if name not in front.names:
            sys.exit(f"no such site: {name} (known: {' '.join(front.names)})")
    if front is Monkey:
        serving.need_monkey()
    serving.raise_open_files(16_384)
    stage = Stage(front, only)
    try:
        stage.start()
        stage.run()
        stage.stop()
        stage.nothing_left()
    finally:
        stage.stop()
        shutil.rmtree(stage.work, ignore_errors=True)
    table = stage.table
    print(f"real programs behind {'nginx and lighttpd' if front is Others else 'the server'}: {versions()}")
    table.print()
    print(f"\n{CLIENTS} clients at once; beside them requests for a static file of 1 KB, microseconds; the ratio is of p99 beside to p99 alone")
    header = ("program", "way", "run", "requests", "a second", "errors", "p99 alone", "p50 beside", "p99 beside", "ratio")
    for row in (header, *stage.load_rows):
        print("".join(f"{cell!s:>11}" for cell in row))
    if stage.count_rows:
        print(f"\n{'':10} run {'what':>14} {'at the start':>14} {'at most':>10} {'afterwards':>12}")
        for name, turn, what, start, peak, end, note in stage.count_rows:
            print(f"{name:10} {turn:>3} {what:>14} {start:>14} {peak:>10} {end:>12}  {note}".rstrip())
    serving.write_table("programs.tsv", ("program", "way", "what", "verdict", "ms", "note"), [(*row[:-1], " ".join(row[-1].split())) for row in table.rows])
    serving.write_table("parallel.tsv", header, stage.load_rows)
    failed, skipped = table.count("FAILED"), table.count("SKIPPED")
    print(f"{len(table.rows)} checks, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
