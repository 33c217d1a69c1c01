"""The rows of scripts/bench with programs behind the server: php-fpm, and Palm beside CGI."""

import shutil
import statistics
import sys

import serving
from programs import php
from programs.fronts import PalmServer
from serving import Running, say, wrk

PHP_WHAT = "php-fpm, hello world"
PHP_CLIENTS = 8
# Twice as many: those whose connections the server keeps are not there for nginx, and nobody is to wait for one.
PHP_CHILDREN = 2 * PHP_CLIENTS
# Programs at once, whichever way they are run.
CHILDREN = 8
CLIENTS = 16
SHELL = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nhello\\n'\n"


def monkey_fastcgi_command(work, port, fpm, connections, more=""):
    """The server in front of a php-fpm, whose connections it keeps. `more`: further keys of [FASTCGI]."""
    configuration = serving.monkey_configuration(work, port, "[HANDLERS]\n    Match \\.php$ fastcgi php\n")
    serving.write_plugin_file(
        configuration,
        "fastcgi",
        f"[FASTCGI]\n    KeepAlive On\n{more}"
        f"[FASTCGI_SERVER]\n    ServerName php\n    ServerPath {fpm.socket}\n    MaxConnections {connections}\n",
    )
    return [str(serving.MONKEY), "-c", str(configuration), "-w", str(serving.WORKERS)]


def nginx_fastcgi_command(work, port, fpm):
    """nginx as its documentation has it: a connection to php-fpm for each request."""
    names = ("QUERY_STRING", "REQUEST_METHOD", "CONTENT_TYPE", "CONTENT_LENGTH", "REQUEST_URI", "DOCUMENT_URI", "DOCUMENT_ROOT", "SERVER_PROTOCOL")
    names += ("REQUEST_SCHEME", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_ADDR", "SERVER_PORT", "SERVER_NAME")
    variable = {"REQUEST_SCHEME": "$scheme"}
    parameters = "".join(f"fastcgi_param {name} {variable.get(name, '$' + name.lower())};\n" for name in names)
    return serving.nginx_command(
        work,
        port,
        more=f"location ~ \\.php$ {{\nfastcgi_pass unix:{fpm.socket};\n{parameters}"
        "fastcgi_param SCRIPT_NAME $fastcgi_script_name;\nfastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;\n"
        "fastcgi_param GATEWAY_INTERFACE CGI/1.1;\nfastcgi_param SERVER_SOFTWARE nginx/$nginx_version;\nfastcgi_param REDIRECT_STATUS 200;\n} ",
    )


def php_servers(work, core):
    """(the php-fpm, {name: server in front of it})."""
    php.write_site(work, work / "www")
    fpm = php.Fpm(work, PHP_CHILDREN).start()
    servers = {}
    try:
        for name, command in (("monkey", monkey_fastcgi_command), ("nginx", nginx_fastcgi_command)):
            if name == "nginx" and not shutil.which("nginx"):
                continue
            port = serving.free_port()
            extra = (fpm, PHP_CLIENTS) if name == "monkey" else (fpm,)
            servers[name] = Running(name, command(work, port, *extra), port, core=core).wait()
    except BaseException:
        stop_all(fpm, servers)
        raise
    return fpm, servers


def stop_all(fpm, servers):
    for server in servers.values():
        server.stop()
    fpm.stop()


def palm(quick):
    """The same scripts by Palm and as CGI: requests a second, in turns."""
    rounds, seconds = (3, 2) if quick else (7, 3)
    work = serving.make_work_directory()
    www, results = work / "www", {}
    php.write_site(work, www)
    (www / "hello.sh").write_text(SHELL)
    (www / "hello.sh").chmod(0o755)
    palm_server = PalmServer(work, www, CHILDREN, (("SHELL", "/bin/sh"),))
    servers = {}
    try:
        palm_server.start()
        lines = {
            "cgi": f"    Match \\.php$ cgi {php.program('php-cgi')}\n    Match \\.sh$ cgi /bin/sh\n",
            "palm": f"    Match \\.php$ palm 127.0.0.1:{palm_server.port}\n    Match \\.sh$ palm 127.0.0.1:{palm_server.ports['SHELL']}\n",
        }
        for way, handlers in lines.items():
            port = serving.free_port()
            configuration = serving.monkey_configuration(work, port, f"[HANDLERS]\n{handlers}")
            if way == "cgi":
                # As the children of the Palm server, which are not made nicer.
                serving.write_plugin_file(configuration, "cgi", f"[CGI]\n    Children {CHILDREN}\n    Nice 0\n")
            servers[way] = Running(way, [str(serving.MONKEY), "-c", str(configuration), "-w", str(serving.WORKERS)], port).wait()
        for turn in range(rounds + 1):
            for path in ("/hello.php", "/hello.sh"):
                for way, server in sorted(servers.items(), reverse=turn % 2 == 1):
                    done, errors, refused = wrk(server.port, path, CLIENTS, seconds if turn else 1)
                    if refused or errors or not done:
                        sys.exit(f"{path}, {way}: {done} requests, {errors} errors, {refused} not answered 2xx:\n{server.said()}")
                    if turn:
                        results.setdefault((path, way), []).append(done / seconds)
            say(f"  palm: round {turn} of {rounds}" + (" (warm-up)" if not turn else ""))
    finally:
        for server in servers.values():
            server.stop()
        palm_server.stop()
        shutil.rmtree(work, ignore_errors=True)
    return print_palm(results, rounds, seconds)


def print_palm(results, rounds, seconds):
    print(f"requests a second, median of {rounds} rounds of {seconds} s, {CLIENTS} clients, {CHILDREN} programs at once")
    print(f"{'script':24} {'CGI':>8} {'Palm':>8}  Palm to CGI")
    table = []
    for path, what in (("/hello.php", "hello world, php-cgi"), ("/hello.sh", "hello world, /bin/sh")):
        cgi, by_palm = (statistics.median(results[path, way]) for way in ("cgi", "palm"))
        row = (what, f"{cgi:.0f}", f"{by_palm:.0f}", f"{by_palm / cgi:.2f}")
        print(f"{row[0]:24} {row[1]:>8} {row[2]:>8}  {row[3]}")
        table.append(row)
    serving.write_table("palm.tsv", ("script", "cgi", "palm", "ratio"), table)
    return 0
