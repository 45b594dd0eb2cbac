"""Datasets: pixels to model inputs, one module per DATA form.

============== =======================================================================================
``digits``     scikit-learn's 8 x 8 handwritten digits, stratified into 1437 train and 360 test
``folder:DIR`` one directory per class, below ``train/`` and ``val/`` (or ``test/``), or a single split
``idx:DIR``    MNIST-format files ``train-*`` and ``t10k-*``, gzipped or not
``npz:FILE``   ``x`` float32 (N, C, H, W) already normalised, ``y`` int64; also ``x_train``, ``y_train``
``text:FILE``  sentences or pairs with labels, in .csv, .tsv or .jsonl; or plain lines
``NAME``       a name of ``timm.data.create_dataset``, e.g. ``torch/cifar10`` or ``torch/cifar10:DIR``
============== =======================================================================================

``calibration`` draws the samples a program is tuned on, ``evaluation`` those it is judged on; where a dataset
has one split only, evaluation leaves out exactly what calibration drew.

``open_clip`` gives frames in a row instead, read one by one: ``video:FILE``, ``frames:DIR``, ``npz:FILE``, ``made:NAME``.
"""

from ecmt_deploy.data.classes import Labels as Labels
from ecmt_deploy.data.classes import match as match
from ecmt_deploy.data.clip import Clip as Clip
from ecmt_deploy.data.clip import Frame as Frame
from ecmt_deploy.data.clips import CLIP_FORMS as CLIP_FORMS
from ecmt_deploy.data.clips import open_clip as open_clip
from ecmt_deploy.data.dataset import Dataset as Dataset
from ecmt_deploy.data.digits import split_digits as split_digits
from ecmt_deploy.data.images import load_images as load_images
from ecmt_deploy.data.looking import DataLook as DataLook
from ecmt_deploy.data.looking import look_through as look_through
from ecmt_deploy.data.select import WITHOUT_PREPROCESSING as WITHOUT_PREPROCESSING
from ecmt_deploy.data.select import Calibration as Calibration
from ecmt_deploy.data.select import calibration as calibration
from ecmt_deploy.data.select import evaluation as evaluation
from ecmt_deploy.data.select import open as open
from ecmt_deploy.data.text import fitted_text as fitted_text
from ecmt_deploy.data.text import read_texts as read_texts
from ecmt_deploy.data.tokenizing import packed as packed
from ecmt_deploy.data.tokenizing import tokenized as tokenized
from ecmt_deploy.data.tokenizing import unpacked as unpacked
from ecmt_deploy.program.provenance import CalibrationRecord as CalibrationRecord
