"""Runs a piece of code in a kernel of a JupyterLab, as its page does: over HTTP and a websocket.

To be run by a Python that has websocket-client: ADDRESS TOKEN NOTEBOOK CODE. Prints what the code
prints.
"""

import json
import sys
import urllib.request
import uuid

import websocket

address, token, notebook, code = sys.argv[1:]


def ask(method: str, path: str, body: object = None) -> dict:
    head = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, head, method=method)
    return json.loads(urllib.request.urlopen(request, timeout=60).read() or b"{}")


name = notebook.rpartition("/")[2]
wanted = {"path": notebook, "name": name, "type": "notebook", "kernel": {"name": "python3"}}
session = ask("POST", "/api/sessions", wanted)
channel = f"{address.replace('http', 'ws', 1)}/api/kernels/{session['kernel']['id']}/channels"
wire = websocket.create_connection(f"{channel}?token={token}", timeout=120)
header = {"msg_id": uuid.uuid4().hex, "username": "", "session": uuid.uuid4().hex, "version": "5.3"}
content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
message = {"header": {**header, "msg_type": "execute_request"}, "parent_header": {}, "metadata": {}}
wire.send(json.dumps({**message, "content": content, "channel": "shell"}))
while True:
    answer = json.loads(wire.recv())
    if answer["parent_header"].get("msg_id") != header["msg_id"]:
        continue
    if answer["msg_type"] == "stream":
        print(answer["content"]["text"], end="", flush=True)
    if answer["msg_type"] == "error":
        sys.exit("\n".join(answer["content"]["traceback"]))
    if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
        break
if "--keep" not in code:
    ask("DELETE", f"/api/sessions/{session['id']}")
