"""What people do in Slack, a module for each thing that they do; ``table`` says which id goes to which callback.

A callback acks, translates, calls one use case, and answers. Bolt hands it what it asks for by argument name;
``context`` adds the bot's own parts to what Bolt knows.
"""
