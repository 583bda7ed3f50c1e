"""What the client asks of the agent, and what it is answered: a request and an answer for each verb.

One file for each subject, since a call loads only what it needs. The verbs and who handles them
are listed in remote.agent.main.
"""
