"""The write loop of chaos with hvac, as its documentation shows its use: one client for each node,
taken in turn, with nothing added.

Each value is written once by way of one node, and read at once by way of the next. Prints a line for
each: `wrote PATH VALUE VERSION`, `failed PATH VALUE`, `read PATH WANTED FOUND`, `missing PATH WANTED`,
`unread PATH WANTED`. Ends after COUNT rounds, or when the reader of its output goes away.
"""

import os
import time

import hvac
import requests

ROUNDS = 10


def main():
    mount, token, ca = os.environ["MOUNT"], os.environ["TOKEN"], os.environ["CACERT"]
    clients = [hvac.Client(url=url, token=token, verify=ca, timeout=5) for url in os.environ["URLS"].split(",")]
    run = os.environ["RUN"]  # Where it writes.
    for number in range(int(os.environ["COUNT"])):
        path, value = f"peers/{run}/{number // ROUNDS}", str(number)
        writer, reader = (clients[(number + offset) % len(clients)].secrets.kv.v2 for offset in (0, 1))
        try:
            made = writer.create_or_update_secret(path=path, secret={"v": value}, mount_point=mount)
        except (hvac.exceptions.VaultError, requests.RequestException, KeyError, TypeError):
            print(f"failed {path} {value}", flush=True)
        else:
            print(f"wrote {path} {value} {made['data']['version']}", flush=True)
            try:
                found = reader.read_secret_version(path=path, mount_point=mount, raise_on_deleted_version=True)
                print(f"read {path} {value} {found['data']['data']['v']}", flush=True)
            except hvac.exceptions.InvalidPath:
                print(f"missing {path} {value}", flush=True)
            except (hvac.exceptions.VaultError, requests.RequestException):
                print(f"unread {path} {value}", flush=True)
        time.sleep(int(os.environ["REST_MS"]) / 1000)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        # Who started this has seen enough. Python would complain about its output once more at the end.
        os._exit(0)
