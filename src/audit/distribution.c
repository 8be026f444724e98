// distribution.c - the tails of the normal and of Student's distribution that scores and verdicts need.
#include "audit/audit_impl.h"
#include <float.h>
#include <math.h>

#define LOG_SQRT_2PI 0.91893853320467274178
#define SQRT_HALF 0.70710678118654752440

double lti_normal_log_pdf(double x, double mean, double sd)
{
    double z = (x - mean) / sd;
    return -0.5 * z * z - log(sd) - LOG_SQRT_2PI;
}

// log of the lower tail at z << 0: log(pdf(z)/-z) plus the asymptotic series 1 - 1/z^2 + 3/z^4 - 15/z^6.
static double log_far_tail(double z)
{
    double w = 1.0 / (z * z);
    return -0.5 * z * z - log(-z) - LOG_SQRT_2PI + log1p(w * (-1.0 + w * (3.0 - 15.0 * w)));
}

double lti_normal_log_cdf(double x, double mean, double sd)
{
    const double far = -30.0; // erfc underflows below -38
    double z = (x - mean) / sd;
    if (z < far)
        return log_far_tail(z);
    return z < 0.0 ? log(0.5 * erfc(-z * SQRT_HALF)) : log1p(-0.5 * erfc(z * SQRT_HALF));
}

// Continued fraction of the incomplete beta function, by Lentz's method; converges fast for x < (a + 1) / (a + b + 2).
static double beta_fraction(double a, double b, double x)
{
    enum { MAX_TERMS = 10000 };
    const double tiny = 1e-300;
    double c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0);
    d = 1.0 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m < MAX_TERMS; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1.0;
        for (int part = 0; part < 2; part++) {
            double term = part ? odd : even;
            d = 1.0 + term * d;
            c = 1.0 + term / c;
            d = 1.0 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            step *= d * c;
        }
        h *= step;
        if (fabs(step - 1.0) < 4 * DBL_EPSILON)
            break;
    }
    return h;
}

// Regularised incomplete beta function I_x(a,b).
static double beta_share(double a, double b, double x)
{
    if (x <= 0.0 || x >= 1.0)
        return x <= 0.0 ? 0.0 : 1.0;
    int sign; // lgamma would write a global
    double front = exp(lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign) + a * log(x) + b * log1p(-x));
    return x < (a + 1.0) / (a + b + 2.0) ? front * beta_fraction(a, b, x) / a
                                         : 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
}

double lti_student_tail(double t, double df)
{
    return 0.5 * beta_share(0.5 * df, 0.5, df / (df + t * t));
}

double lti_student_quantile(double p, double df)
{
    double low = 0.0, high = 1.0;
    while (lti_student_tail(high, df) > p && high < 1e300)
        high *= 2.0;
    for (int i = 0; i < 200 && high - low > 1e-14 * high; i++) {
        double middle = 0.5 * (low + high);
        *(lti_student_tail(middle, df) > p ? &low : &high) = middle;
    }
    return 0.5 * (low + high);
}
