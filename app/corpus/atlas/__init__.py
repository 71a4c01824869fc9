"""What the counts of a corpus say about each expert: pure functions of `Counts`."""

from app.corpus.atlas.experts import (
    Estimate as Estimate,
)
from app.corpus.atlas.experts import Neighbour as Neighbour
from app.corpus.atlas.experts import PositionProfile as PositionProfile
from app.corpus.atlas.experts import Transitions as Transitions
from app.corpus.atlas.experts import drop_rate as drop_rate
from app.corpus.atlas.experts import favourites as favourites
from app.corpus.atlas.experts import load as load
from app.corpus.atlas.experts import mean_confidence as mean_confidence
from app.corpus.atlas.experts import position_profile as position_profile
from app.corpus.atlas.experts import transitions as transitions
from app.corpus.atlas.labels import LabelInformation as LabelInformation
from app.corpus.atlas.labels import LabelProfile as LabelProfile
from app.corpus.atlas.labels import label_information as label_information
from app.corpus.atlas.labels import label_profile as label_profile
from app.corpus.atlas.speciality import speciality as speciality
from app.corpus.atlas.tables import layer_tables as layer_tables
from app.corpus.atlas.tokens import ContextSensitivity as ContextSensitivity
from app.corpus.atlas.tokens import TokenRouting as TokenRouting
from app.corpus.atlas.tokens import TopToken as TopToken
from app.corpus.atlas.tokens import context_sensitivity as context_sensitivity
from app.corpus.atlas.tokens import expert_similarity as expert_similarity
from app.corpus.atlas.tokens import token_routing as token_routing
from app.corpus.atlas.tokens import top_tokens as top_tokens
