"""AG-UI's own way in: its RunAgentInput becomes a conversation's run."""
