"""The live page: server-rendered fragments over server-sent events, no framework, no foreign assets."""
