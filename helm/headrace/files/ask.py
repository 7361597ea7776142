"""What `helm test` does: asks the edge one question and wants an answer."""

import http.client
import json
import os
import sys
import time

DEADLINE_S = 150.0
PAUSE_S = 2.0
PASSING = (429, 503, 504)
"""Not yet ready, no place, or the run is still going on; the same Idempotency-Key asks for the same run again."""

key = os.environ.get("API_KEY")
if not key:
    sys.exit("the Secret of edge.apiKeys.existingSecret has no key api-key to ask with")
headers = {
    "Authorization": f"Bearer {key}",
    "Content-Type": "application/json",
    "Idempotency-Key": f"test-{time.time_ns()}",
}
give_up = time.monotonic() + DEADLINE_S
status, said = 0, ""
while time.monotonic() < give_up:
    edge = http.client.HTTPConnection(os.environ["EDGE_ADDRESS"], timeout=DEADLINE_S)
    try:
        edge.request("POST", "/api/conversation", json.dumps({"message": "Say hello."}), headers)
        response = edge.getresponse()
        status, said = response.status, response.read().decode()
    except OSError as error:
        status, said = 0, str(error)
    finally:
        edge.close()
    if status and status not in PASSING:
        break
    time.sleep(PAUSE_S)
if status != 200:
    sys.exit(f"no answer; at last {status} {said[:500]}")
answer = json.loads(said)
if not answer["reply"]:
    sys.exit(f"an empty answer: {answer}")
print(f"run {answer['run_id']} answered {len(answer['reply'])} characters")
