"""Metrics of class audits (the JSON of `lethe audit`), for the tables."""


def mean(v):
    v = [x for x in v if x is not None]
    return sum(v) / len(v) if v else None


def percent(x, digits=1):
    return "-" if x is None else f"{100 * x:.{digits}f}"


METRICS = [("ACC_f", lambda a: a["acc_f"]), ("ACC_r", lambda a: a["acc_r"]), ("SVC-MIA", lambda a: a["svc_mia"]),
           ("class-MIA", lambda a: a["mia_nn"]["score"]), ("gap", lambda a: a["mia_nn"]["gap"]),
           ("TV", lambda a: a["tv"]), ("TV of means", lambda a: a["tv_mean"]),
           ("two-sample", lambda a: mean([c["two_sample"] for c in a["classes"]]))]
