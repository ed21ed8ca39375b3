"""What the peers in Python share. See signalling.mjs."""

import json
import sys

options = json.loads(sys.argv[1])


def say(message):
    print(json.dumps(message), flush=True)


def text(number):
    return f"{number} ".ljust(number, "x")


class Caller:
    """Sends the next message when the last one has come back."""

    def __init__(self, send):
        self.send = send
        self.number = 0

    def start(self):
        self.send(text(self.number))

    def receive(self, data):
        if data != text(self.number):
            sys.exit(f"{data} instead of {text(self.number)}")
        self.number += 1
        if self.number == options["messages"]:
            say({"done": self.number})
        else:
            self.send(text(self.number))
