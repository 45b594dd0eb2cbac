"""The public verbs, ``ecmt_deploy.convert`` and the others: each takes what people have, by name or in memory.

Each is what the command of its name calls; the rooms beneath have one form of everything.
"""
