"""A document is read, found and cited."""

from tests.e2e.suite import Suite
from tests.support.openai_server import OpenAiServer, Reply

RULES = "# House rules\n\nHomework is due on Friday at noon. Late homework loses one point for each day."


async def test_a_question_is_answered_with_the_passage_that_it_stands_in(suite: Suite, provider: OpenAiServer) -> None:
    provider.otherwise = Reply(text="no entities here")
    accepted = await suite.post(
        "/api/internal/documents/parse", {"title": "House rules", "text": RULES, "workspace": "school"}
    )
    assert accepted.status_code == 202, accepted.text
    assert (await suite.run(accepted.json()["run_id"]))["status"] == "succeeded"
    provider.requests.clear()

    found = (
        await suite.post("/api/internal/documents/search", {"query": "When is homework due?", "workspace": "school"})
    ).json()

    assert provider.requests == []
    assert found["chunks"][0]["document_id"] == accepted.json()["document_id"]
    assert "Friday" in found["chunks"][0]["text"]

    provider.otherwise = Reply(text="On Friday at noon [1].")
    answer = await suite.post(
        "/api/conversation", {"message": "When is homework due?", "mode": "qa", "workspace": "school"}
    )

    assert answer.json()["reply"] == "On Friday at noon [1]."
    assert answer.json()["citations"][0]["title"] == "House rules"
    assert "Late homework" in str(provider.requests[-1]["messages"])
