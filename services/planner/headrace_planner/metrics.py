"""What the planner counts. Labels are fixed words, never texts or tenants."""

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120)

PLANS = Counter("headrace_planner_plans_total", "Plans made, by intent and origin.", ["intent", "origin"])
PATCHES = Counter(
    "headrace_planner_patches_total", "Changes of pages, by origin; unclear are those that concern no slot.", ["origin"]
)
REPAIRS = Counter("headrace_planner_repairs_total", "Drafts that went back to the model with their faults.")
DRAFT_FAILURES = Counter(
    "headrace_planner_draft_failures_total",
    "Questions for a plan or a change that no model answered, by reason.",
    ["reason"],
)
DRAFTING = Gauge("headrace_planner_drafting", "Plans and changes that wait for a model now.")
SECONDS = Histogram(
    "headrace_planner_plan_seconds", "Seconds from a request to its plan, by origin.", ["origin"], buckets=_BUCKETS
)
PATCH_SECONDS = Histogram(
    "headrace_planner_patch_seconds", "Seconds from a sentence to its change, by origin.", ["origin"], buckets=_BUCKETS
)
REUSE = Counter(
    "headrace_planner_reuse_total",
    "Looks for a plan made before: hit_memory, hit_redis, miss, or stale when it is no longer valid.",
    ["outcome"],
)
NOT_KEPT = Counter(
    "headrace_planner_not_kept_total", "Plans that were not kept or could not be read, by reason.", ["reason"]
)
REUSE_AWAY = Gauge("headrace_planner_reuse_away", "1 while Redis is away and plans are kept by this process alone.")
