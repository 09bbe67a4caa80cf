"""What is measured, in words: the report prints them, CSV files use the names, docs/metrics.md has both."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Definition:
    """A measure of one task of one arm and seed.

    Attributes:
        title: a table's heading. words: what it is, and where it comes from.
    """

    title: str
    words: str


DEFINITIONS: dict[str, Definition] = {
    "area": Definition(
        "area",
        "Area under the learning curve over the task's agent steps, written as the mean return over the"
        " task. The learning curve is the mean raw return of all episodes that ended in each of 50 equal"
        " stretches of the task.",
    ),
    "relative_area": Definition(
        "relative area",
        "(area - random) / (the control's area - random): the area above the random policy's return,"
        " relative to that of the arm independent on the same task with the same options. 1 is as good as"
        " the control, 0 is no better than chance. Of several seeds it is the ratio of the means, over the"
        " seeds that both arms have; its interval draws seeds in pairs. None where the control does not"
        " exceed the random policy. After Rusu et al. (2016), who did not take the random policy off.",
    ),
    "speedup": Definition(
        "plain ratio",
        "Area / the control's area, as Progressive Networks define it (Rusu et al., 2016) and a run's own"
        " table shows it. None where areas are not positive.",
    ),
    "jump_start": Definition(
        "jump-start",
        "Mean of the learning curve over the first tenth of the task less the control's with the same seed"
        " (Taylor and Stone, 2009).",
    ),
    "zero_shot": Definition(
        "first episodes",
        "Mean return of the first 20 episodes to end, a stand-in for the zero-shot return: runs do not"
        " record any episode before learning. A new task's head is made of zeros, so before any learning"
        " every arm acts like the random policy. The first episodes to end are the short ones.",
    ),
    "steps_to_threshold": Definition(
        "steps to threshold",
        "Agent steps at which the mean of the last 20 episodes first exceeds the threshold, which is"
        " halfway from the random policy's return to the control's final level (its mean over seeds). A"
        " seed that never does counts with the whole task and is called censored: the mean is then a lower"
        " bound, marked with >=.",
    ),
    "final_level": Definition(
        "final level", "Mean of the learning curve over the last tenth of the task."
    ),
    "normalised_score": Definition(
        "normalised final",
        "(final level - random) / (human - random) with the published scores of Mnih et al. (2015),"
        " extended data table 2: 0 is their random policy, 1 their human tester. The final level is that"
        " of all pathways while they learn, not of a chosen one afterwards. None of tasks that the table"
        " here (pathnet_rl/scores.py) does not have.",
    ),
    "greedy_return": Definition(
        "greedy",
        "Mean return of the best pathway right after the task, always with the likeliest action, in the"
        " same few episodes for every arm.",
    ),
    "forgetting": Definition(
        "forgetting",
        "Greedy return right after the task less the greedy return of the same episodes after all later"
        " tasks. 0 is nothing lost; the last task has none to forget by.",
    ),
}
"""By the name that CSV files use."""

INTERVALS = (
    "Numbers in brackets are 95% percentile bootstrap intervals over seeds (9,999 resamples). n"
    " is the number of seeds; one seed has no interval, and none is drawn. Intervals of fewer"
    " than ten seeds or so are too narrow, since what no seed has shown cannot be drawn: read"
    " the seeds' own numbers beside them. An upper end of ∞ means that some resamples have a"
    " control that is no better than chance."
)
AGGREGATE = (
    "Over all tasks that have a control, each seed's area above the random policy is divided by"
    " the mean of the control's; the interquartile mean of all these numbers leaves out a"
    " quarter of them at each end. Its interval is a stratified bootstrap: seeds are drawn again"
    " within each task, the control's with them (Agarwal et al., 2021; 2,000 resamples)."
    " A task with one seed does not vary in it."
)
RANDOM = (
    "The random policy draws actions evenly, under the rules of the runs; random_policy.csv"
    " has its episodes. Where none were played, the published score of Mnih et al. (2015) stands"
    " in, if there is one."
)
BANDS = "Lines are means over seeds, bands reach from the lowest to the highest seed; one seed has no band."
REUSE = (
    "Each picture shows the grid at the end of a task: layers upwards, modules to the right."
    " Modules that were frozen before are those of earlier tasks' best pathways. Reused are"
    " those of them that are active in the task's best pathway: because it names them, or"
    " because a finished task's path is active beside it."
)
FACTORS = (
    "Where hyperparameters are genes (evolution.hyperparameters): the factors that the best pathway"
    " of each task had at the end of it, and below them the configured value times the factor (of the"
    " learning rate, before annealing). Every task draws its factors anew, log-uniformly from 1 / range"
    " to range, so a task's factors owe nothing to the tasks before it. Pathways share modules, and one"
    " seed's winner is one draw: only what several seeds agree in says something of the task."
)
