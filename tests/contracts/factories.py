"""How to make one of each fold for the contract tests; a fold that is missing here fails them."""

from models.bandit.click import ClickPosterior
from models.bandit.counts import RewardCounts
from models.bandit.purchase import PurchasePosterior
from models.causal.ledger import Ledger
from models.components.factors import Factors
from models.components.nearest import InvertedFile
from models.components.popularity import Popularity
from models.components.repeats import Repeats
from models.components.transitions import Transitions
from models.engine import Engine
from models.experiments import Experiment
from models.fusion.head import Head
from models.fusion.scoreboard import Scoreboard
from models.policy.safe import SafePopularity
from models.policy.view import PolicyState, PolicyView
from schemas.settings import EngineSettings, PolicySettings
from schemas.signals import Kind

_FUSION = Engine(EngineSettings()).fusion

FACTORIES = {
    ClickPosterior: ClickPosterior,
    Ledger: lambda: Ledger("launch"),
    Factors: lambda: Factors(16, seed=3, index=InvertedFile(16, exact=10, small=8)),
    Head: lambda: Head(_FUSION.feature_names, _FUSION.prior(0.3)),
    PolicyState: lambda: PolicyState(PolicyView(PolicySettings(), Experiment("launch", 0.1))),
    Popularity: Popularity,
    PurchasePosterior: PurchasePosterior,
    Repeats: Repeats,
    RewardCounts: lambda: RewardCounts("plain", Kind.CLICK, ClickPosterior().memory),
    SafePopularity: SafePopularity,
    Scoreboard: lambda: Scoreboard(_FUSION.columns),
    Transitions: Transitions,
}
