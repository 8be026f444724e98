"""Metrics of class audits (the JSON of `lethe audit`), for the tables."""


def mean(v):
    v = [x for x in v if x is not None]
    return sum(v) / len(v) if v else None


def percent(x, digits=1):
    return "-" if x is None else f"{100 * x:.{digits}f}"


T95 = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09]


def half_width(values):
    """Of the interval of a mean; None without two values."""
    if len(values) < 2:
        return None
    m = sum(values) / len(values)
    error = (sum((v - m) ** 2 for v in values) / (len(values) - 1) / len(values)) ** 0.5
    return error * (T95[len(values) - 2] if len(values) - 2 < len(T95) else 1.96)


METRICS = [("ACC_f", lambda a: a["acc_f"]), ("ACC_r", lambda a: a["acc_r"]), ("SVC-MIA", lambda a: a["svc_mia"]),
           ("class-MIA", lambda a: a["mia_nn"]["score"]), ("gap", lambda a: a["mia_nn"]["gap"]),
           ("TV", lambda a: a["tv"]), ("TV of means", lambda a: a["tv_mean"]),
           ("two-sample", lambda a: mean([c["two_sample"] for c in a["classes"]]))]
