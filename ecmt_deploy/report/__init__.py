"""What a person looks at: pages, tables of the terminal, charts, CSV, and how every number is written.

Model and data: :mod:`~ecmt_deploy.report.model`, :mod:`~ecmt_deploy.report.comparison`, :mod:`~ecmt_deploy.report.data`; from
the directories of runs they come by :mod:`~ecmt_deploy.report.collect`. Numbers: :mod:`~ecmt_deploy.report.units`. Forms:
:mod:`~ecmt_deploy.report.tables`, :mod:`~ecmt_deploy.report.charts`, :mod:`~ecmt_deploy.report.html`,
:mod:`~ecmt_deploy.report.csv`; as files, :mod:`~ecmt_deploy.report.write`.
"""

from ecmt_deploy import call_with

call_with(__name__, "ecmt_deploy.verbs.runs:report")  # ``ecmt_deploy.report(runs, out)``
