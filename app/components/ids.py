"""Ids of all components. The first group is relied on from outside and never changes."""

from __future__ import annotations

from typing import NamedTuple

TEXT = "text-input"
MODEL = "model-select"
FLOW = "flow-figure"
LOAD = "heatmap-figure"
GRID = "token-grid"
TABLE = "routing-table"
STATUS = "status"
RUN_LINK = "run-link"
COPY_LINK = "copy-link"
DOWNLOAD = "download-csv"
THEME_TOGGLE = "theme-toggle"

# The second stack of a model, drawn when both are looked at.
FLOW_2 = "flow-figure-2"
LOAD_2 = "heatmap-figure-2"
GRID_2 = "token-grid-2"
SECOND_FLOW = "second-flow"
SECOND_GRID = "second-grid"
SECOND_LOAD = "second-load"

DOWNLOADS = "download-menu"
SELECTED = "selected-panel"
GRID_FRAME = "grid-frame"
GRID_FRAME_2 = "grid-frame-2"
FLOW_SUMMARY = "flow-summary"
LOAD_SUMMARY = "load-summary"
GRID_SUMMARY = "grid-summary"
MEASURES_SUMMARY = "measures-summary"
NOTES = "mode-notes"
CARDS = "metric-cards"
DOMINANT = "dominant-experts"
HABITS = "habits-facts"
DROPS = "drops-figure"
DROPS_PANEL = "drops-panel"
LAYER_A = "layer-a"
LAYER_B = "layer-b"
COMPARISON = "comparison-facts"
TRANSITION = "transition-figure"
DEPTH = "depth-figure"
LOADS = "loads-figure"

CONTROLS = "controls"
VIEW = "stack-view"
SOURCE = "decoder-source"
TARGET = "target-input"
NEW_TOKENS = "max-new-tokens"
SAMPLE = "do-sample"
TEMPERATURE = "temperature"
SEED = "seed"
STOP = "stop-button"
AGAIN = "again-button"
CAPACITY = "capacity-slider"
CAPACITY_LABEL = "capacity-label"
ANALYSE = "analyse-button"
EXAMPLES = "examples"
ARTICLE = "article"
KEYS = "keys-dialog"
KEYS_OPEN = "keys-open"
PROBLEM = "problem"

# Two runs compared. `compared` holds which, `compare-theme` the colours they are drawn in.
COMPARE_A = "compare-a"
COMPARE_B = "compare-b"
CHANGES = "changes-figure"
CHANGES_SUMMARY = "changes-summary"
CHANGES_PANEL = "changes-panel"
DIFFERENCE = "difference-figure"
DIFFERENCE_SUMMARY = "difference-summary"
DIFFERENCE_PANEL = "difference-panel"
RELATIVE = "relative-figure"
RELATIVE_PANEL = "relative-panel"
COMPARED = "compared"
COMPARE_THEME = "compare-theme"
PASSES_LOADS = "passes-loads-figure"
PASSES_LOADS_SUMMARY = "passes-loads-summary"
PASSES_INFORMATION = "passes-information-figure"
PASSES_INFORMATION_TABLE = "passes-information-table"
PASSES_COMPARED = "passes-compared"
PASSES_THEME = "passes-theme"


class FileDrop(NamedTuple):
    """A place where a file is handed in, of which so much is `sent`. Its script knows these ids
    by what they begin with."""

    drop: str
    file: str
    place: str
    sending: str
    sent: str
    sent_words: str
    cancel: str
    status: str
    problem: str


# Corpora: a file is handed in and its columns are chosen, then passes are listed. `gone` is said
# while the server is silent.
CORPORA_PAGE = "corpora-page"
CORPORA_FILES = FileDrop(
    drop="corpora-drop",
    file="corpora-file",
    place="corpora-file-place",
    sending="corpora-sending",
    sent="corpora-sent",
    sent_words="corpora-sent-words",
    cancel="corpora-sending-cancel",
    status="corpora-status",
    problem="corpora-problem",
)
CORPORA_EXAMPLE = "corpora-example"
CORPORA_FORM = "corpora-form"
CORPORA_TITLE = "corpora-title"
CORPORA_PREVIEW = "corpora-preview"
CORPORA_TEXT = "corpora-text"
CORPORA_LABELS = "corpora-labels"
CORPORA_NAME = "corpora-name"
CORPORA_MODEL = "corpora-model"
CORPORA_MAX_TOKENS = "corpora-max-tokens"
CORPORA_TOKENS = "corpora-tokens"
CORPORA_HEADING = "corpora-heading"
CORPORA_GONE = "corpora-gone"
CORPORA_LIST = "corpora-list"
CORPORA_NONE = "corpora-none"

# Predict: one page of five steps. `refusal` says why nothing can be trained, `status` and `problem`
# what is going on; in each step stand the ids of its own.
PREDICT_PAGE = "predict-page"
PREDICT_FILES = FileDrop(
    drop="predict-drop",
    file="predict-file",
    place="predict-file-place",
    sending="predict-sending",
    sent="predict-sent",
    sent_words="predict-sent-words",
    cancel="predict-sending-cancel",
    status="predict-status",
    problem="predict-problem",
)
PREDICT_REFUSAL = "predict-refusal"
PREDICT_STEPS = "predict-steps"
PREDICT_DATA = "predict-data"
PREDICT_DATA_TITLE = "predict-data-title"
PREDICT_ROUTER = "predict-router"
PREDICT_ROUTER_FORM = "predict-router-form"
PREDICT_ROUTER_NONE = "predict-router-none"
PREDICT_LAYER = "predict-layer"
PREDICT_TABLE = "predict-table"
PREDICT_TABLE_TITLE = "predict-table-title"
PREDICT_SKIPPED = "predict-skipped"
PREDICT_PREVIEW = "predict-preview"
PREDICT_TARGET = "predict-target"
PREDICT_TASK = "predict-task"
PREDICT_PLAN = "predict-plan"
PREDICT_COLUMNS = "predict-columns"
PREDICT_MISSING = "predict-missing"
PREDICT_LEAST_ROWS = "predict-least-rows"
PREDICT_TRAIN = "predict-train"
PREDICT_TRAIN_TITLE = "predict-train-title"
PREDICT_ORDER = "predict-order"
PREDICT_ORDERED = "predict-ordered"
PREDICT_BUDGET = "predict-budget"
PREDICT_COUNT = "predict-count"
PREDICT_METRIC = "predict-metric"
PREDICT_SEED = "predict-seed"
PREDICT_NAME = "predict-name"
PREDICT_ALL_LAYERS = "predict-all-layers"
PREDICT_LIST = "predict-list"
PREDICT_RESULT = "predict-result"
PREDICT_MODELS = "predict-models"
PREDICT_MODELS_TITLE = "predict-models-title"
PREDICT_MODELS_LIST = "predict-models-list"
PREDICT_USE = "predict-use"
PREDICT_USE_TITLE = "predict-use-title"
PREDICT_USE_MODEL = "predict-use-model"
PREDICT_USE_VERSION = "predict-use-version"
PREDICT_SENTENCE_FORM = "predict-sentence-form"
PREDICT_SENTENCE = "predict-sentence"
PREDICT_LABELS = "predict-labels"
PREDICT_GUESSED = "predict-guessed"
PREDICT_ROW = "predict-row"
PREDICT_ANSWER = "predict-answer"
PREDICT_MANY = "predict-many"
PREDICT_MANY_FILE = "predict-many-file"
PREDICT_ANSWERS = "predict-answers"
PREDICT_WATCH = "predict-watch"
PREDICT_WATCH_TITLE = "predict-watch-title"
PREDICT_WATCH_MODEL = "predict-watch-model"
PREDICT_WATCH_VERSION = "predict-watch-version"
PREDICT_WATCHED = "predict-watched"

# The expert atlas. `page` holds which pass is open, `asked` and `piece-asked` what is looked at,
# `open` whose card was unfolded, the words what is said of each.
EXPERTS_PAGE = "experts-page"
EXPERTS_ASKED = "experts-asked"
EXPERTS_THEME = "experts-theme"
EXPERTS_LAYER = "experts-layer"
EXPERTS_LABEL = "experts-label"
EXPERTS_SORT = "experts-sort"
EXPERTS_TITLE = "experts-title"
EXPERTS_NOTE = "experts-note"
EXPERTS_CARDS = "experts-cards"
EXPERTS_WORDS = "experts-words"
EXPERTS_OPEN = "experts-open"
EXPERTS_MORE_WORDS = "experts-more-words"
EXPERTS_PIECE = "experts-piece"
EXPERTS_PIECE_ASKED = "experts-piece-asked"
EXPERTS_PIECE_WORDS = "experts-piece-words"
EXPERTS_FOUND = "experts-found"
EXPERTS_BESIDE_WORDS = "experts-beside-words"
EXPERTS_COMPARABLE = "experts-comparable"
RISK = "risk-figure"
RISK_NOTE = "risk-note"
RISK_SUMMARY = "risk-summary"
INFORMATION = "information-figure"
SIMILARITY = "similarity-figure"
PIECE = "piece-figure"
PIECE_FRAME = "piece-frame"
CHECKPOINTS = "checkpoints-figure"
CHECKPOINTS_FRAME = "checkpoints-frame"
CHECKPOINTS_SUMMARY = "checkpoints-summary"
CHECKPOINTS_SAID = "checkpoints-said"
CHECKPOINTS_TABLE = "checkpoints-table"
CHECKPOINTS_WORDS = "checkpoints-words"
CHECKPOINTS_TICK = "checkpoints-tick"
EXPLAINED = "explained-figure"
EXPLAINED_FRAME = "explained-frame"
EXPLAINED_SUMMARY = "explained-summary"
EXPLAINED_SAID = "explained-said"
TWO_LOADS = "two-loads-figure"
TWO_LOADS_FRAME = "two-loads-frame"
TWO_LABELS_FRAME = "two-labels-frame"
RISK_BESIDE = "risk-beside-figure"
INFORMATION_BESIDE = "information-beside-figure"

# A recorded run computed again.
RECOMPUTE = "recompute-button"
RECOMPUTED = "recompute-result"

# Stores. `settings` is what the controls say, `request` what a recorded run's page asks for,
# `outcome` what was drawn last, `settled` that of a pause in the typing, `words` what is said of
# it; `commit` what should be recorded, `receipt` the server's last answer to that, `recorded` the
# one that counts.
SETTINGS = "settings"
REQUEST = "request"
OUTCOME = "outcome"
SETTLED = "settled"
WORDS = "words"
COMPARED_WORDS = "compared-words"
COMMIT = "commit"
RECEIPT = "receipt"
RECORDED = "recorded"
SELECTION = "selection"
THEME = "theme"
VISITOR = "visitor"
POLL = "poll"
STOPPED = "stopped"

# The history. `asked` is the address to list, `following` the cursor of what comes after,
# `action` what is to be done with runs, `told` what became of that.
RUNS_FILTER = "runs-filter"
RUNS_SEARCH = "runs-search"
RUNS_KIND = "runs-kind"
RUNS_MODEL = "runs-model"
RUNS_STACK = "runs-stack"
RUNS_TAG = "runs-tag"
RUNS_SINCE = "runs-since"
RUNS_UNTIL = "runs-until"
RUNS_SORT = "runs-sort"
RUNS_ORDER = "runs-order"
RUNS_ASKED = "runs-asked"
RUNS_LIST = "runs-list"
RUNS_FOLLOWING = "runs-following"
RUNS_GONE = "runs-gone"
RUNS_FIRST = "runs-first"
RUNS_NEWER = "runs-newer"
RUNS_OLDER = "runs-older"
RUNS_TOOLS = "runs-tools"
RUNS_ALL = "runs-all"
RUNS_COUNT = "runs-count"
RUNS_BAR = "runs-bar"
RUNS_CHOSEN = "runs-chosen"
RUNS_COMPARE = "runs-compare"
RUNS_CSV = "runs-csv"
RUNS_PARQUET = "runs-parquet"
RUNS_TAG_OPEN = "runs-tag-open"
RUNS_RENAME_OPEN = "runs-rename-open"
RUNS_DELETE = "runs-delete"
RUNS_TAG_FORM = "runs-tag-form"
RUNS_TAG_INPUT = "runs-tag-input"
RUNS_TAGS = "runs-tags"
RUNS_RENAME_FORM = "runs-rename-form"
RUNS_RENAME_INPUT = "runs-rename-input"
RUNS_PROBLEM = "runs-problem"
RUNS_ACTION = "runs-action"
RUNS_TOLD = "runs-told"
RUNS_TOASTS = "runs-toasts"
RUN_ROW = "run-row"
RUN_CHECK = "run-check"

# What every page says about the store. `hint` is set when it should be asked.
STORE_NOTICE = "store-notice"
STORE_TEXT = "store-text"
STORE_RETRY = "store-retry"
STORE_HINT = "store-hint"
STORE_POLL = "store-poll"
