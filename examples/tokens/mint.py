"""Creates a token that proves that a client owns an id. Needs only Python.

    JWT_SECRET=... python3 mint.py --id alice

    --key peerjs       make the token valid for this API key only
    --seconds 3600     how long the token is valid

An --id that ends in * allows all ids with that prefix. Never let users choose it freely.

The standard library can sign only with a secret (HS256). For RS256, ES256 and EdDSA: pip install 'pyjwt[crypto]', and

    jwt.encode({"sub": "alice", "exp": int(time.time()) + 3600}, private_pem, algorithm="ES256")
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import sys
import time


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def mint(secret: str, peer_id: str, seconds: int, key: str | None = None) -> str:
    claims = {"sub": peer_id, "exp": int(time.time()) + seconds}
    if key is not None:
        claims["aud"] = key
    header = {"alg": "HS256", "typ": "JWT"}
    text = ".".join(part(json.dumps(value).encode()) for value in (header, claims))
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{part(signature)}"


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--id", required=True)
    arguments.add_argument("--key")
    arguments.add_argument("--seconds", type=int, default=3600)
    given = arguments.parse_args()
    secret = os.environ.get("JWT_SECRET")
    if not secret:
        sys.exit("set JWT_SECRET")
    print(mint(secret, given.id, given.seconds, given.key))


if __name__ == "__main__":
    main()
