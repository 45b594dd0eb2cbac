"""``python -m ecmt_deploy`` is the command ``ecmt-deploy``: what ``torchrun -m`` starts."""

from ecmt_deploy.cli import main

main()
