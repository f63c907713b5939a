# SPDX-License-Identifier: MIT
"""A web server that forks for each request, and a client that asks it some."""
import http.client
import http.server
import json
import socketserver
import threading

from lose import lose

REQUESTS = 6


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        lose(700, 5)
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    pass


def ask(port, number):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/%d" % number)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["path"]


server = Server(("127.0.0.1", 0), Handler)
thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
thread.start()
print([ask(server.server_port, number) for number in range(REQUESTS)])
lose(200)
server.shutdown()
thread.join()
server.server_close()
