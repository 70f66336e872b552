"""A plan to begin with, as ``rhoa study --template`` prints it."""

TEMPLATE = """\
# A study of models of hip osteoarthritis. Train, measure and report all of it:
#
#   rhoa study study.toml
#
# Started again, it does what is not done. Paths are relative to this file.

# What to train on: a manifest (rhoa hips scans.csv, rhoa.cohort.check, rhoa.cohort.oai) ...
manifest = "study/manifest.csv"
# ... or a table of scans, whose hips are cropped first:
# scans = "scans.csv"

# A manifest without partitions is parted by subject, with this seed.
split_seed = 2020

# Gets runs/, report.html, metrics.json, results.csv and results.json.
out = "results"

# Models 1 to 5 are the paper's; model 6 is trained on X-rays, then on CT-APs.
recipes = ["model-1", "model-2", "model-3", "model-4", "model-5", "model-6"]

# Each recipe is trained once for each seed ...
seeds = [2020, 2021, 2022]
# ... or once for each fold of a cross-validation, with the one seed there is then:
# folds = 5

# "imagenet", "none" (random), or a file of weights.
weights = "imagenet"

# "auto" (a GPU where there is one), "cpu", "cuda".
device = "auto"

# Caveats for the top of the report.
notes = []

# Crops that are refused by default: "shape" pads those that are not square; label, size, colour.
# accept = ["shape"]

# Options of every recipe that differ from the paper's.
[every-recipe]
# epochs = 30
# image_size = 128
# learning_rate = 1e-4
# batch = 32
# augmentation = { rotation_deg = 5, translation_px = 5, scale = [0.75, 1.2] }

# Options of one recipe. Of model 6 they are about its last stage, on CT-APs; those of the first
# stage, on X-rays, follow below.
# [recipe.model-5]
# epochs = 60
#
# [recipe.model-6.first]
# epochs = 30

# A recipe of your own begins like another one; name it in recipes, too.
# [recipe.model-3-small]
# like = "model-3"
# image_size = 100
"""
