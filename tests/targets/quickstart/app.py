# SPDX-License-Identifier: MIT
"""A small server that leaks: 100 requests, each by way of a chain of calls into the C extension leaky."""
import leaky


def read_request(number):
    return leaky.parse("GET /page/%d HTTP/1.1" % number)


def prepare_answer():
    leaky.resize()


def write_log():
    leaky.journal()


def sign_in():
    return leaky.token()


def handle_request(number):
    read_request(number)
    prepare_answer()
    write_log()
    sign_in()


def serve(requests):
    for number in range(requests):
        handle_request(number)


if __name__ == "__main__":
    serve(100)
    print("served 100 requests")
