"""The load client: a program of its own that costs as little as Python can.

    echo '{"port": 8000, "path": "/tasks", "body": "{}", "connections": 16, "seconds": 5}' \
        | python -I -S client.py

It needs nothing but the standard library. Each connection has one request under way and sends the
next when the answer is there; with `rate`, requests leave at that pace instead, whether answers are
there or not. Prints what it saw as JSON.
"""

import json
import select
import socket
import sys
import time
from collections import deque
from typing import Any

HEADERS_END = b"\r\n\r\n"
GIVE_UP = 30.0  # seconds without any answer


class Connection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=GIVE_UP)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0.0
        self.received = b""

    def send(self, request: bytes) -> None:
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """Read what is there; the status once the answer is complete."""
        piece = self.socket.recv(262_144)
        if not piece:
            raise ConnectionError("The server closed a connection under way.")
        self.received += piece
        if not complete(self.received):
            return None
        status = int(self.received[9:12])
        self.received = b""
        return status


def complete(answer: bytes) -> bool:
    """Whether this is a whole HTTP/1.1 answer."""
    end = answer.find(HEADERS_END)
    if end < 0:
        return False
    headers = answer[:end].lower()
    at = headers.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(headers[at + 17 :].split(b"\r\n", 1)[0])
        return len(answer) >= end + 4 + length
    return answer.endswith(b"0\r\n\r\n")


def request_bytes(order: dict[str, Any]) -> bytes:
    body = order["body"].encode()
    head = (
        f"POST {order['path']} HTTP/1.1\r\nHost: 127.0.0.1:{order['port']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def closed_loop(order: dict[str, Any]) -> dict[str, Any]:
    """Every connection always has a request under way, until the seconds or the requests are up."""
    request = request_bytes(order)
    left = order.get("requests") or sys.maxsize
    connections = [Connection(order["port"]) for _ in range(min(order["connections"], left))]
    poll = select.epoll()
    by_file = {each.socket.fileno(): each for each in connections}
    for file in by_file:
        poll.register(file, select.EPOLLIN)
    took: list[float] = []
    statuses: dict[int, int] = {}
    begun = time.perf_counter()
    until = begun + (order.get("seconds") or 3600)
    for each in connections:
        each.send(request)
        left -= 1
    under_way = len(connections)
    now = begun
    while under_way:
        ready = poll.poll(GIVE_UP)
        if not ready:
            raise TimeoutError(f"No answer for {GIVE_UP} seconds.")
        for file, _ in ready:
            connection = by_file[file]
            status = connection.receive()
            if status is None:
                continue
            now = time.perf_counter()
            took.append(now - connection.sent)
            statuses[status] = statuses.get(status, 0) + 1
            if now < until and left > 0:
                connection.send(request)
                left -= 1
            else:
                under_way -= 1
    return summary(took, statuses, begun, now - begun)


def paced(order: dict[str, Any]) -> dict[str, Any]:
    """Requests leave at a fixed pace, each on a connection that is free."""
    request = request_bytes(order)
    free = [Connection(order["port"]) for _ in range(order["connections"])]
    by_file = {each.socket.fileno(): each for each in free}
    poll = select.epoll()
    for file in by_file:
        poll.register(file, select.EPOLLIN)
    took: list[float] = []
    statuses: dict[int, int] = {}
    begun = time.perf_counter()
    count = int(order["rate"] * order["seconds"])
    due = deque(begun + number / order["rate"] for number in range(count))
    while due or len(free) < len(by_file):
        now = time.perf_counter()
        if due and due[0] <= now and free:
            due.popleft()
            free.pop(0).send(request)
            continue
        wait = GIVE_UP if not due else max(0.0, due[0] - now) if free else GIVE_UP
        for file, _ in poll.poll(wait):
            connection = by_file[file]
            status = connection.receive()
            if status is not None:
                took.append(time.perf_counter() - connection.sent)
                statuses[status] = statuses.get(status, 0) + 1
                free.append(connection)
    return summary(took, statuses, begun, time.perf_counter() - begun)


def summary(
    took: list[float], statuses: dict[int, int], begun: float, seconds: float
) -> dict[str, Any]:
    ordered = sorted(took)

    def percentile(share: float) -> float:
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {
        "answers": len(took),
        "statuses": statuses,
        "begun": begun,
        "cpu_seconds": time.process_time(),
        "seconds": seconds,
        "rate": len(took) / seconds,
        "p50_ms": percentile(0.5),
        "p99_ms": percentile(0.99),
    }


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps(paced(asked) if asked.get("rate") else closed_loop(asked)))
