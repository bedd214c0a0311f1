/* suggest - what a mistyped word was meant to be. */
#include <string.h>

#include "app/command.h"

enum { MAX_LENGTH = 40 };

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Letters to insert, delete, replace or swap with a neighbour to turn a into b (optimal string
 * alignment). */
static int distance(const char *a, const char *b) {
    int n = (int)strlen(a), m = (int)strlen(b);
    int d[MAX_LENGTH + 1][MAX_LENGTH + 1];
    if (n > MAX_LENGTH || m > MAX_LENGTH) return MAX_LENGTH;
    for (int i = 0; i <= n; i++) {
        for (int j = 0; j <= m; j++) {
            if (!i || !j) {
                d[i][j] = i + j;
                continue;
            }
            int replaced = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least(replaced, 1 + least(d[i - 1][j], d[i][j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[n][m];
}

const char *app_nearest(const char *typed, const char *const *words) {
    const char *best = NULL;
    int best_distance = 1 + (int)strlen(typed) /
                                3;  // a third of the letters may be wrong, and one more
    for (; *words; words++) {
        int d = distance(typed, *words);
        bool prefix = strlen(typed) >= 3 && strncmp(typed, *words, strlen(typed)) == 0;
        if (prefix) d = least(d, 1);
        if (d < best_distance || (d == best_distance && !best)) {
            best_distance = d;
            best = *words;
        }
    }
    return best;
}
