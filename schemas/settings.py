"""Every setting, once: strict, typed, frozen.

Read by ``deploy/config.py`` from a TOML file and ``STREAMWISE_*`` environment variables
(``STREAMWISE_KAFKA__BOOTSTRAP`` sets ``kafka.bootstrap``).  Nothing else reads the environment.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.topics import Topic, topic_name

Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: an unknown key is an error."""


class KafkaSettings(_Section, frozen=True, kw_only=True):
    """How to reach the broker.

    Parameters
    ----------
    bootstrap
        Addresses of brokers, ``host:port``, separated by commas.
    namespace
        Prefix of every topic (``shop-a.events``); empty: none.
    group
        Consumer group of the workers, and the beginning of the names of their transactions.
    partitions
        Of ``events`` and ``state``; changed by ``streamwise repartition`` alone.
    generation
        Which writing of ``events`` and ``state``: ``streamwise repartition`` says what to set here.
    replication
        Replicas of each topic that we create.
    fence
        ``"transactions"`` fences state writes against zombies; ``"none"`` is for brokers without
        transactions, with one worker.
    dialect
        ``"tansu"``: the embedded broker, whose defects are worked around in the client.
    session_seconds
        A worker that is silent for so long loses its partitions.
    instance
        A worker's own lasting name (static membership), no other worker's: back within
        ``session_seconds`` of its last sign of life it goes on with its partitions and nobody
        else's move; until then nobody serves them.  Empty: others take them over at once.
    fetch_wait_ms
        0 leaves the client's default; brokers that do not wake long polls need about 10.
    gather_ms
        While records keep coming, a worker's fetches wait for so long for more of them, which saves
        much of a busy worker's time; where lists wait, up to six times as long; 0: they bring each
        record at once.
    linger_ms
        How long the client gathers records into one request.
    username, password
        SCRAM-SHA-512 credentials; none: no authentication.
    tls
        Encrypt the connection.
    """

    bootstrap: str = "127.0.0.1:9092"
    namespace: str = ""
    group: str = "streamwise"
    partitions: Count = 4
    generation: Count = 1
    replication: Count = 1
    fence: Literal["transactions", "none"] = "transactions"
    dialect: Literal["kafka", "tansu"] = "kafka"
    session_seconds: Annotated[float, Meta(gt=0, le=1800)] = 10.0
    instance: str = ""
    fetch_wait_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    gather_ms: Annotated[int, Meta(ge=0, le=1_000)] = 10
    linger_ms: Annotated[int, Meta(ge=0, le=1_000)] = 2
    username: str | None = None
    password: str | None = None
    tls: bool = False

    def topic(self, topic: Topic) -> str:
        """A topic's name on the broker."""
        return topic_name(topic, self.namespace, self.generation)


class MappingSettings(_Section, frozen=True, kw_only=True):
    """A topic with field names of its own.

    Parameters
    ----------
    topic
        Its name on the broker.
    type
        What its messages are.
    fields
        Our field name to theirs (dots descend): ``{user_id = "customer.id"}``.
    ts_unit
        Of their timestamp.
    """

    topic: str
    type: Literal["click", "purchase", "impression", "feedback", "request"]
    fields: dict[str, str] = {}
    constants: dict[str, str] = {}
    ts_unit: Literal["ms", "s", "us", "iso"] = "ms"


class IntakeSettings(_Section, frozen=True, kw_only=True):
    """What intake lets through.

    Parameters
    ----------
    mappings
        Further topics, whose messages have field names of their own.
    max_future_seconds
        A timestamp further ahead of the broker's clock than this is clamped to it.
    max_age_days
        Older events go to dead letters.
    max_price
        Purchases of a higher price per unit go to dead letters.
    """

    mappings: tuple[MappingSettings, ...] = ()
    max_future_seconds: Positive = 60.0
    max_age_days: Positive = 3650.0
    max_price: Positive = 1e9


class UserSettings(_Section, frozen=True, kw_only=True):
    """User state and attribution.

    Parameters
    ----------
    history
        Events remembered per person.
    session_gap_seconds
        A pause of so long begins a new session.
    attribution_seconds
        How long after a decision a click or purchase still counts for it.
    checkpoint_seconds
        Sweep of the dirty blocks to the ``state`` topic.
    dedup_ids, dedup_hours
        How many event ids of a person are remembered against producers' repeats, and for how long.
    open_decisions, open_total
        Decisions that wait for rewards, per person and per partition; beyond, the oldest close early.
    """

    history: Annotated[int, Meta(ge=10, le=1000)] = 100
    session_gap_seconds: Positive = 1800.0
    attribution_seconds: Positive = 3600.0
    checkpoint_seconds: Positive = 10.0
    dedup_ids: Annotated[int, Meta(ge=0, le=1024)] = 64
    dedup_hours: Positive = 24.0
    open_decisions: Annotated[int, Meta(ge=1, le=1000)] = 32
    open_total: Count = 200_000


SeenRule = bool | Literal["auto"]


class EngineSettings(_Section, frozen=True, kw_only=True):
    """What the engine learns and how lists are scored.

    Parameters
    ----------
    factors
        Dimensions of the sequence factors.
    candidates
        Items that each component may propose for a list.
    probe_share, probes_per_second
        Share of events that become probes, and how many at most.
    gradient_rows_per_second
        Rows that the factors learn per second of event time; of a faster stream a hash-chosen share.
        Everything that counts learns every row.
    exclude_seen
        Never list what a person already had: ``true``, ``false``, or ``"auto"``: while fewer than one event
        in a hundred, of people with a history, is of an item that they had before.
    seed
        Of all initial values; the same seed and log give the same models.
    without
        Components, or single columns of the head, that neither propose items nor count: for ablations.
    """

    factors: Annotated[int, Meta(ge=4, le=512)] = 64
    candidates: Annotated[int, Meta(ge=10, le=1000)] = 100
    probe_share: Share = 1.0
    probes_per_second: Positive = 200.0
    gradient_rows_per_second: Positive = 2000.0
    exclude_seen: SeenRule = "auto"
    seed: Seed = 0
    without: tuple[str, ...] = ()


class PolicySettings(_Section, frozen=True, kw_only=True):
    """How a list is sampled from scores.

    Parameters
    ----------
    epsilon
        Share of uniform exploration per slot.
    temperature
        Of the softmax; towards 0 it becomes greedy.  At 0.3 the best candidate of a learned head takes
        the first slot in about two lists of three, and real purchases are ranked about an eighth worse
        than greedily (NDCG@10); at 0.5 a quarter worse.
    variety
        0 to 1: from relevance alone to lists of unlike and little-known items; ``docs/diversity.md``
        shows what it costs.
    thompson
        Weight of the bandit's Thompson draw in the utility; 0.2 costs 3 to 5 % of NDCG@10.
    purchase_value
        What a purchase is worth in clicks.
    pool
        Best candidates by utility among which a list is drawn.
    context_share
        Share of decisions that log everything needed to recompute their propensities.
    """

    epsilon: Share = 0.02
    temperature: Annotated[float, Meta(ge=0)] = 0.3
    variety: Share = 0.05
    thompson: Annotated[float, Meta(ge=0)] = 0.2
    purchase_value: Annotated[float, Meta(ge=0)] = 3.0
    context_share: Share = 0.02
    pool: Annotated[int, Meta(ge=1, le=1000)] = 100


class ExperimentSettings(_Section, frozen=True, kw_only=True):
    """The running experiment.

    Parameters
    ----------
    name
        Splits people by its hash: a relaunch after a rollback needs a new one.
    holdout
        Share of people who are served by the safe policy.
    """

    name: str = "launch"
    holdout: Annotated[float, Meta(ge=0, lt=1)] = 0.1


LARGEST_BATCH = 256
"""Lists that are scored at once at most."""


class ListSettings(_Section, frozen=True, kw_only=True):
    """When lists are computed, and how long they may take.

    Parameters
    ----------
    publish
        ``"always"``: after every event of a person; ``"requests"``: only when somebody asks.
    k
        Length of lists that nobody asked for.
    batch, gather_ms
        Lists scored at once (four times as many, at most 256, where more than that wait and people's newer
        events do not replace them), and how long after one batch the next one gathers; after a pause a list
        waits for no others.
    deadline_ms
        A request that has waited for so long, and does not say how long it waits, is answered from a cheaper
        rung; pushes have twice as long.  Overload is measured by it.
    max_pending
        Triggers that may wait; beyond, pushes are shed.
    last_good_seconds
        How old a person's last list may be that stands for one that does not come.
    """

    publish: Literal["always", "requests"] = "always"
    k: Annotated[int, Meta(ge=1, le=200)] = 10
    batch: Annotated[int, Meta(ge=1, le=LARGEST_BATCH)] = 64
    gather_ms: Annotated[float, Meta(ge=0, le=1000)] = 10.0
    deadline_ms: Positive = 1000.0
    max_pending: Count = 20_000
    last_good_seconds: Positive = 86_400.0


class LearnerSettings(_Section, frozen=True, kw_only=True):
    """Folding of the signals log.

    Parameters
    ----------
    max_lag_seconds
        A worker that is further behind the log serves the safe policy: it may have missed an order.
    slice_ms
        How long the learner holds the models at a time, of its own processor time; lists wait that long.
    snapshot_seconds
        Between two snapshots of the models.
    directory
        Of the snapshots.
    mode
        ``"inline"``: every event process learns by itself; ``"shared"``: ``streamwise learn`` does, once a
        host, and event processes read its models in place.
    publish_seconds
        Between two versions of the shared models; longer where publishing takes more than 5 % of that.
    wait_seconds
        How long an event process waits at its start for shared models before it goes on without.
    arena
        Directory of the shared models, best in memory; empty: a folder of this deployment in ``/dev/shm``,
        or beside the snapshots where there is none.
    """

    mode: Literal["inline", "shared"] = "inline"
    publish_seconds: Positive = 1.0
    wait_seconds: Annotated[float, Meta(ge=0)] = 30.0
    arena: str = ""
    max_lag_seconds: Positive = 30.0
    slice_ms: Positive = 4.0
    snapshot_seconds: Positive = 60.0
    directory: str = ".data/snapshots"


class EncoderSettings(_Section, frozen=True, kw_only=True):
    """The encoder pool.

    Parameters
    ----------
    model
        Which language model encodes the texts.
    device
        ``"auto"``: a GPU if torch sees one.
    sub_tokens, max_tokens
        Padded tokens of one forward pass, and tokens of one take from the queue; 0: as the device works
        best (256 and 512 on a CPU, 16,384 and 32,768 on a GPU).
    precision
        ``"auto"``: bfloat16 where the hardware computes in it and it agrees with float32.  Part of the
        vectors' version: a fleet of mixed hosts sets it.
    memory_bytes
        Bound of the in-process vector cache.
    """

    model: str = "minilm"
    sub_tokens: Annotated[int, Meta(ge=0)] = 0
    max_tokens: Annotated[int, Meta(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    memory_bytes: Annotated[int, Meta(ge=0)] = 64 << 20


class RedisSettings(_Section, frozen=True, kw_only=True):
    """The view and the encoder's cache; absent when ``url`` is empty.

    Parameters
    ----------
    url
        ``redis://host:port/number``.
    ttl_seconds
        How long a person's latest list is kept.
    """

    url: str = ""
    ttl_seconds: Count = 86_400


class AuditSettings(_Section, frozen=True, kw_only=True):
    """Periodic causal checks.

    Parameters
    ----------
    period_seconds
        Between two audits.
    alpha_click, alpha_purchase
        False-alarm probability that each hard guardrail may spend over the whole experiment.
    alpha_srm
        The same for the check that traffic splits as configured.
    min_events
        First conversions in the smaller arm before an interval is published.
    margin
        Relative loss that still counts as "not inferior".
    max_persons
        Persons followed exactly; past it the auditor follows a random half, quarter, … of them.
    directory
        Of the auditor's snapshot.
    """

    period_seconds: Positive = 60.0
    alpha_click: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    alpha_purchase: Annotated[float, Meta(gt=0, lt=1)] = 0.02
    alpha_srm: Annotated[float, Meta(gt=0, lt=1)] = 0.001
    min_events: Count = 50
    margin: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    max_persons: Count = 5_000_000
    directory: str = ".data/audit"


class ApiSettings(_Section, frozen=True, kw_only=True):
    """The HTTP side: page, lists, health, metrics.

    Parameters
    ----------
    host, port
        Where the page and the API listen.
    metrics_port
        Where roles without a page serve ``/metrics``, ``/livez`` and ``/readyz``; 0: they do not.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 0


class HealthSettings(_Section, frozen=True, kw_only=True):
    """When a process calls itself ill, and when it is ended.

    Parameters
    ----------
    max_loop_lag_seconds
        A process whose event loop turned later than this is not ready.
    hung_seconds
        A process whose event loop has not turned for so long shows the stacks of its threads and ends
        with status 70, to be started again; 0: never.
    stuck_seconds
        A partition whose log grows while its own position stands still for so long (and for three
        checkpoints) makes the process not ready.
    heartbeat_seconds
        Between two heartbeats through every stage; workers write them to ``requests``; 0: none.
    """

    max_loop_lag_seconds: Positive = 1.0
    hung_seconds: Annotated[float, Meta(ge=0)] = 60.0
    stuck_seconds: Positive = 60.0
    heartbeat_seconds: Annotated[float, Meta(ge=0)] = 10.0


class Settings(_Section, frozen=True, kw_only=True):
    """The whole tree."""

    kafka: KafkaSettings = KafkaSettings()
    intake: IntakeSettings = IntakeSettings()
    users: UserSettings = UserSettings()
    engine: EngineSettings = EngineSettings()
    policy: PolicySettings = PolicySettings()
    experiment: ExperimentSettings = ExperimentSettings()
    lists: ListSettings = ListSettings()
    learner: LearnerSettings = LearnerSettings()
    encoder: EncoderSettings = EncoderSettings()
    redis: RedisSettings = RedisSettings()
    audit: AuditSettings = AuditSettings()
    api: ApiSettings = ApiSettings()
    health: HealthSettings = HealthSettings()


SECRETS = frozenset({"kafka.password", "redis.url"})
"""Keys whose values no print shows."""
