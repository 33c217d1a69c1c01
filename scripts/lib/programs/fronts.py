"""The web servers in front of the programs: this repository's and, to check the checks with, nginx and lighttpd.

Every kind of program has a site of its own, `NAME.test`: fpm, palm and cgi are PHP by the three ways, then git, cgit, python, app.
"""

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import serving
from programs import cgit, git, php
from programs.table import Wrong


@dataclass
class Place:
    """Where a site is: the name to ask for, the port, its root."""

    host: str
    port: int
    root: Path


class PalmServer:
    """The application server of the repository, with a handler for PHP and others as (section, interpreter)."""

    def __init__(self, work, www, children=4, others=()):
        self.running = None
        handlers = (("PHP", php.program("php-cgi")), *others)
        self.ports = {name: serving.free_port() for name, _ in handlers}
        self.port = self.ports["PHP"]
        self.configuration = work / "palm.conf"
        self.configuration.write_text(
            f"[SERVER]\n    Status {work}/palm.sock\n"
            + "".join(
                f"[{name}]\n    Port {self.ports[name]}\n    Exec {interpreter}\n    Childs {children}\n    Root {www}\n"
                for name, interpreter in handlers
            )
        )

    def start(self):
        running = serving.Running("monkey palm", [str(serving.MONKEY), "palm", "-c", str(self.configuration)], self.port)
        self.running = running
        serving.until(lambda: "palm: process " in running.said(), f"monkey palm did not start:\n{running.said()}")
        return self

    def stop(self):
        if self.running:
            self.running.stop()
            self.running = None


class Monkey:
    """The server, with a site for each."""

    names = ("fpm", "palm", "cgi", "git", "cgit", "python", "app")
    # What it is known to do otherwise: nothing.
    others = ()

    def __init__(self, work, www, limit, wanted, fpm, palm, backend):
        self.www, self.wanted, self.fpm, self.running = www, wanted, fpm, None
        handlers = {
            "fpm": f"Match \\.php(/|$) fastcgi {fpm.socket}",
            "palm": f"Match \\.php(/|$) palm 127.0.0.1:{palm.port}",
            "cgi": f"Match \\.php(/|$) cgi {php.program('php-cgi')}",
            "git": f"Location /git cgi {git.BACKEND}",
            "cgit": f"Location /cgit cgi {cgit.PROGRAM}",
            "python": "Match \\.py(/|$) cgi",
            "app": f"Location /app proxy 127.0.0.1:{backend.port}",
        }
        environment = {
            "git": {"GIT_PROJECT_ROOT": work / "git", "GIT_HTTP_EXPORT_ALL": "1", "HOME": work},
            "cgit": {"CGIT_CONFIG": work / "cgitrc"},
        }
        self.configuration = work / "conf"
        (self.configuration / "sites").mkdir(parents=True)
        (self.configuration / "monkey.conf").write_text(
            f"[SERVER]\n    Listen 127.0.0.1:0\n    Workers {serving.WORKERS}\n    Indexfile index.html index.php\n"
            f"    MaxKeepAliveRequest {serving.REQUESTS_A_CONNECTION}\n"
        )
        for number, name in enumerate(wanted):
            variables = "".join(f"    SetEnv {variable} {value}\n" for variable, value in environment.get(name, {}).items())
            (self.configuration / "sites" / (name if number else "default")).write_text(
                f"[HOST]\n    ServerName {name}.test\n    DocumentRoot {www}\n[HANDLERS]\n    {handlers[name]}\n" + (f"[CGI]\n{variables}" if variables else "")
            )
        self.write_plugin_files(limit)
        shutil.copy(serving.ROOT / "conf" / "monkey.mime", self.configuration / "monkey.mime")

    def start(self):
        self.running = serving.Running("monkey", [str(serving.MONKEY), "-c", str(self.configuration)], 0).wait_listening()
        return self

    def write_plugin_files(self, limit):
        """A limit of time, and room for as many waiting requests as there are clients. Of plugins that are asked for only."""
        waiting = f"    Timeout {limit}\n"
        files = {
            "fastcgi": f"[FASTCGI]\n{waiting}    KeepAlive On\n    OfflineTimeOut 1\n"
            f"[FASTCGI_SERVER]\n    ServerName php\n    ServerPath {self.fpm.socket}\n    MaxConnections {FASTCGI_CONNECTIONS}\n",
            "palm": f"[LIMITS]\n{waiting}",
            "proxy": f"[PROXY]\n{waiting}    OfflineTimeOut 1\n    KeepAlive {PROXY_KEPT}\n",
            "cgi": f"[CGI]\n{waiting}    Children {PROGRAMS}\n",
        }
        sites = {"fastcgi": {"fpm"}, "palm": {"palm"}, "proxy": {"app"}, "cgi": {"cgi", "git", "cgit", "python"}}
        for name, text in files.items():
            if sites[name] & set(self.wanted):
                serving.write_plugin_file(self.configuration, name, text)

    def limit(self, seconds):
        """Another limit of time, in the running server."""
        self.write_plugin_files(seconds)
        self.running.process.send_signal(signal.SIGHUP)
        serving.until(lambda: "configuration reloaded" in self.said(), f"no reload:\n{self.said()}")

    def place(self, name):
        return Place(f"{name}.test", self.running.port, self.www)

    def said(self):
        return self.running.said()

    def stop(self):
        if self.running:
            self.running.stop()


# Connections to php-fpm, and those to the HTTP server that each worker keeps: what may stay open when nobody asks.
FASTCGI_CONNECTIONS = php.CHILDREN
PROXY_KEPT = 4
# Programs at once.
PROGRAMS = 8


class Others:
    """nginx in front of php-fpm and the HTTP server, lighttpd for whatever is CGI. Nobody else speaks Palm."""

    names = ("fpm", "cgi", "git", "cgit", "python", "app")
    # (program, way, part of what is checked) that they are known to do otherwise.
    others = (
        ("php", "cgi", "dies half-way"),
        ("php", "cgi", "sleeps past"),
        ("php", "cgi", "stops for"),
        ("python", "cgi", "stderr"),
        ("python", "cgi", "nonsense"),
        ("python", "proxy", "told of the client"),
        ("python", "proxy", "fields of one hop"),
        ("python", "proxy", "quiet for"),
    )

    def __init__(self, work, www, limit, _wanted, fpm, _palm, backend):
        self.work, self.www, self.running = work, www, []
        self.ports = {name: serving.free_port() for name in ("nginx", "lighttpd")}
        nginx, lighttpd = work / "nginx.conf", work / "lighttpd.conf"
        nginx.write_text(nginx_configuration(work, www, limit, self.ports["nginx"], fpm, backend))
        lighttpd.write_text(lighttpd_configuration(work, www, self.ports["lighttpd"]))
        self.commands = {"nginx": ["nginx", "-c", str(nginx), "-p", str(work)], "lighttpd": ["lighttpd", "-D", "-f", str(lighttpd)]}

    def start(self):
        for name, command in self.commands.items():
            if not shutil.which(command[0]):
                raise Wrong(f"{name} is not installed")
            self.running.append(serving.Running(name, command, self.ports[name]).wait())
        return self

    def limit(self, seconds):
        """It stays what it is: these do not count the time that a request waits for its turn."""

    def place(self, name):
        return Place(f"{name}.test", self.ports["nginx" if name in ("fpm", "app") else "lighttpd"], self.www)

    def said(self):
        return "".join(path.read_text(errors="replace") for path in (self.work / "nginx.log", self.work / "lighttpd.log") if path.exists())

    def stop(self):
        for server in self.running:
            server.stop()


def nginx_configuration(work, www, limit, port, fpm, backend):
    temporary = "".join(f"{kind}_temp_path {work}/nginx-{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    same_name = ("QUERY_STRING", "REQUEST_METHOD", "CONTENT_TYPE", "CONTENT_LENGTH", "REQUEST_URI", "DOCUMENT_ROOT", "SERVER_PROTOCOL", "REMOTE_ADDR", "SERVER_PORT", "SERVER_NAME")
    parameters = {
        **{name: f"${name.lower()}" for name in same_name},
        "SCRIPT_NAME": "$fastcgi_script_name",
        "SCRIPT_FILENAME": "$document_root$fastcgi_script_name",
        # try_files forgets $fastcgi_path_info.
        "PATH_INFO": "$kept_path_info",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "HTTP_PROXY": '""',
    }
    user = "user root;\n" if os.geteuid() == 0 else ""
    return (
        f"{user}daemon off;\nworker_processes 2;\npid {work}/nginx.pid;\nerror_log {work}/nginx.log;\n"
        "events { worker_connections 1024; }\nhttp {\naccess_log off;\nclient_max_body_size 0;\nkeepalive_requests 1000000;\n"
        f"fastcgi_read_timeout {limit};\nproxy_read_timeout {limit};\nfastcgi_buffering off;\nproxy_buffering off;\n{temporary}"
        f"server {{ listen 127.0.0.1:{port}; server_name fpm.test; root {www}; index index.php;\n"
        "location ~ [^/]\\.php(/|$) { fastcgi_split_path_info ^(.+?\\.php)(/.*)$; set $kept_path_info $fastcgi_path_info;\n"
        f"try_files $fastcgi_script_name =404; fastcgi_pass unix:{fpm.socket};\n"
        + "".join(f"fastcgi_param {name} {value};\n" for name, value in parameters.items())
        + "} }\n"
        f"server {{ listen 127.0.0.1:{port}; server_name app.test; root {www};\n"
        f"location /app/ {{ proxy_pass http://127.0.0.1:{backend.port}; proxy_http_version 1.1; proxy_request_buffering off;\n"
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;\n"
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto http;\n"
        'proxy_set_header Forwarded "for=$remote_addr"; } }\n'
        'map $http_upgrade $connection_upgrade { default upgrade; "" close; }\n}\n'
    )


def lighttpd_configuration(work, www, port):
    def program(host, path, target, variables):
        set_them = ", ".join(f'"{name}" => "{value}"' for name, value in variables.items())
        return (
            f'$HTTP["host"] =~ "^{host}" {{ $HTTP["url"] =~ "^{path}" {{\nalias.url = ("{path}" => "{target}")\ncgi.assign = ("" => "")\n'
            f"setenv.add-environment = ({set_them}) }} }}\n"
        )

    return (
        'server.modules = ("mod_setenv", "mod_alias", "mod_cgi")\n'
        f'server.document-root = "{www}"\nserver.bind = "127.0.0.1"\nserver.port = {port}\n'
        f'server.errorlog = "{work}/lighttpd.log"\nserver.breakagelog = "{work}/lighttpd.log"\nserver.upload-dirs = ("{work}")\n'
        # A body that is not streamed has a length, even if it came in chunks; without one lighttpd answers 411.
        "server.max-keep-alive-requests = 65535\nserver.stream-response-body = 1\nserver.stream-request-body = 0\n"
        f'index-file.names = ("index.php")\ncgi.local-redir = "enable"\n'
        f'$HTTP["host"] =~ "^cgi.test" {{ cgi.assign = (".php" => "{php.program("php-cgi")}") }}\n'
        '$HTTP["host"] =~ "^python.test" { cgi.assign = (".py" => "") }\n'
        + program("git.test", "/git", git.BACKEND, {"GIT_PROJECT_ROOT": work / "git", "GIT_HTTP_EXPORT_ALL": "1", "HOME": work})
        + program("cgit.test", "/cgit", cgit.PROGRAM, {"CGIT_CONFIG": work / "cgitrc"})
    )
