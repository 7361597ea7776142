"""What the planner counts. Labels are fixed words, never texts or tenants."""

from prometheus_client import Counter, Gauge, Histogram

PLANS = Counter("headrace_planner_plans_total", "Plans made, by intent and origin.", ["intent", "origin"])
REPAIRS = Counter("headrace_planner_repairs_total", "Drafts that went back to the model with their faults.")
DRAFT_FAILURES = Counter(
    "headrace_planner_draft_failures_total", "Questions for a plan that no model answered, by reason.", ["reason"]
)
DRAFTING = Gauge("headrace_planner_drafting", "Plans that wait for a model now.")
SECONDS = Histogram(
    "headrace_planner_plan_seconds",
    "Seconds from a request to its plan, by origin.",
    ["origin"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120),
)
