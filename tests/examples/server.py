"""A server on this machine that counts what it sends, and misbehaves as it is told."""

import json
import re
import time
from http.server import BaseHTTPRequestHandler

MIB = 2**20
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    """Serves the files of `server.root`, misbehaving as `server.mode` says."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server, path = self.server, self.path.partition("?")[0]
        server.requests.append((self.headers["Host"], self.path, self.headers["Authorization"]))
        if path.startswith("/api/models/"):
            self.list_models(path)
        elif server.mode == "elsewhere" and self.headers["Host"].startswith("127."):
            self.send_response(302)
            target = server.target or f"http://localhost:{server.server_port}{self.path}"
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif server.mode in ("401", "503"):
            self.send_error(int(server.mode))
        else:
            file = server.root / re.sub(r"^/someone/model/resolve/[^/]*/", "", path).lstrip("/")
            self.send_file(file) if file.is_file() else self.send_error(404)

    def list_models(self, path):
        files_ = sorted(file for file in self.server.root.rglob("*") if file.is_file())
        listed = [
            {"rfilename": str(f.relative_to(self.server.root)), "size": f.stat().st_size}
            for f in files_
        ]
        known = path in (
            "/api/models/someone/model/revision/main",
            "/api/models/someone/model/revision/step-1000",
        )
        body = json.dumps({"sha": COMMIT, "siblings": [*listed, {"rfilename": "../x", "size": 1}]})
        if self.server.mode == "nonsense":
            body = "[]"
        if isinstance(self.server.mode, list):
            names = [{"rfilename": name, "size": size} for name, size in self.server.mode]
            body = json.dumps({"sha": COMMIT, "siblings": names})
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def send_file(self, file):
        server, size = self.server, file.stat().st_size
        begin, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        end = min(end + 1, size)
        mode = server.mode if server.after <= 0 else ""
        server.after -= 1
        if begin >= size:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if mode == "no ranges":
            begin, end = 0, size
            self.send_response(200)
        else:
            self.send_response(206)
            total = size + 5 if mode == "lies" else size
            shift = 1 if mode == "other bytes" else 0
            self.send_header("Content-Range", f"bytes {begin + shift}-{end - 1 + shift}/{total}")
        self.send_header("Content-Length", str(end - begin))
        self.send_header("ETag", str(len(server.requests)) if mode == "changes" else "x")
        self.end_headers()
        with file.open("rb") as opened:
            opened.seek(begin)
            content = opened.read(min(end - begin, 64 * MIB))
        if mode == "stalls":
            self.wfile.write(content[:10])
            time.sleep(1.5)
        elif mode == "drops" or (mode == "drops once" and not server.dropped):
            server.dropped = True
            self.wfile.write(content[:10])
            self.close_connection = True
            return
        elif mode == "drips":
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        server.sent += len(content)
        self.wfile.write(content)
