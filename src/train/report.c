/* report - the page: tiles of numbers, curves as SVG paths, samples, settings.
 *
 * Curves have at most POINTS points; a longer run is averaged in equal stretches of steps. Colours
 * come from CSS variables that follow the reader's light or dark setting. */
#include "train/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "train/lines.h"

enum { POINTS = 400, WIDTH = 560, HEIGHT = 220, LEFT = 54, RIGHT = 10, TOP = 10, BOTTOM = 26 };

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";

static const char style[] =
    "</title>\n<style>\n"
    ":root{color-scheme:light "
    "dark;--bg:#fbfaf8;--card:#fff;--ink:#22252a;--dim:#6b7280;--line:#e4e2dd;"
    "--a:#2563eb;--b:#d97706}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#15171a;--card:#1d2024;--ink:#e6e6e3;--dim:#"
    "9aa0a8;"
    "--line:#31353b;--a:#7aa7ff;--b:#f0a94b}}\n"
    "body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\n"
    "main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}h1{font-size:24px;margin:0}\n"
    "h2{font-size:17px;margin:36px 0 12px}.dim{color:var(--dim)}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin:"
    "20px 0}\n"
    ".tile,figure,.sample{background:var(--card);border:1px solid "
    "var(--line);border-radius:10px;padding:12px 14px}\n"
    ".tile b{display:block;font-size:21px;font-weight:600}.tile "
    "span{color:var(--dim);font-size:13px}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:14px}figure{"
    "margin:0}\n"
    "@media(max-width:480px){.charts{grid-template-columns:1fr}}\n"
    "figcaption{font-weight:600;font-size:14px;margin-bottom:4px}svg{width:100%;height:auto;"
    "display:block}\n"
    "svg text{fill:var(--dim);font-size:11px}svg .grid{stroke:var(--line)}\n"
    "svg .a{stroke:var(--a);fill:none;stroke-width:1.6}svg "
    ".b{stroke:var(--b);fill:none;stroke-width:1.8}\n"
    ".key{font-weight:400;color:var(--dim)}.key "
    "i{display:inline-block;width:14px;height:3px;margin:0 5px 3px 10px}\n"
    ".sample{margin-bottom:10px;white-space:pre-wrap;font-family:ui-serif,Georgia,serif}\n"
    ".sample b{display:block;font:600 12px system-ui,sans-serif;color:var(--dim)}\n"
    "table{border-collapse:collapse;font-size:14px}td{padding:3px 18px 3px 0;border-bottom:1px "
    "solid var(--line)}\n"
    "td:first-child{color:var(--dim)}details "
    "summary{cursor:pointer;font-weight:600;font-size:17px;margin-top:36px}\n"
    "</style></head><body><main>\n";

/* Text for HTML. */
static void put_escaped(fl_text *t, const char *s) {
    for (; *s; s++) {
        if (*s == '&') fl_text_puts(t, "&amp;");
        else if (*s == '<') fl_text_puts(t, "&lt;");
        else if (*s == '>') fl_text_puts(t, "&gt;");
        else if (*s == '"') fl_text_puts(t, "&quot;");
        else fl_text_append(t, s, 1);
    }
}

/* ---- curves ---- */

typedef struct {
    double x[POINTS], y[POINTS];
    int n;
} curve;

typedef struct {
    const char *title, *a, *b;  // fields of a metrics line; b may be NULL
    const char *name_a, *name_b;
    double scale;
} chart;

static const chart charts[] = {
    {"Loss (nats per token)", "loss", "val_loss", "training", "held out", 1},
    {"Bits per byte on held-out text (last: all of it)", "val_bpb", NULL, NULL, NULL, 1},
    {"Learning rate", "learning_rate", NULL, NULL, NULL, 1},
    {"Gradient norm", "grad_norm", NULL, NULL, NULL, 1},
    {"Tokens per second", "train/tok_per_sec", NULL, NULL, NULL, 1},
    {"Share of the machine's measured roof (%)", "train/mfu", NULL, NULL, NULL, 100},
};

/* Means over equal stretches of steps. */
static void make_curve(curve *c, const json_t *lines, const char *name, double scale) {
    const size_t n = json_array_size(lines);
    double sum[POINTS] = {0}, step[POINTS] = {0}, count[POINTS] = {0};
    for (size_t i = 0; i < n; i++) {
        const json_t *line = json_array_get(lines, i), *v = json_object_get(line, name);
        const size_t at = n <= POINTS ? i : i * POINTS / n;
        if (!json_is_number(v)) continue;
        sum[at] += scale * json_number_value(v);
        step[at] += json_number_value(json_object_get(line, "step"));
        count[at]++;
    }
    c->n = 0;
    for (int i = 0; i < POINTS; i++) {
        if (count[i] == 0) continue;
        c->x[c->n] = step[i] / count[i];
        c->y[c->n++] = sum[i] / count[i];
    }
}

typedef struct {
    double x0, x1, y0, y1;
} bounds;

static void include(bounds *b, const curve *c) {
    for (int i = 0; i < c->n; i++) {
        b->x0 = fmin(b->x0, c->x[i]), b->x1 = fmax(b->x1, c->x[i]);
        b->y0 = fmin(b->y0, c->y[i]), b->y1 = fmax(b->y1, c->y[i]);
    }
}

static double px(const bounds *b, double x) {
    return LEFT + (x - b->x0) / (b->x1 - b->x0) * (WIDTH - LEFT - RIGHT);
}

static double py(const bounds *b, double y) {
    return TOP + (b->y1 - y) / (b->y1 - b->y0) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, so that about five lie in `range`. */
static double tick_step(double range) {
    const double raw = range / 5, unit = pow(10, floor(log10(raw)));
    return unit * (raw / unit > 5 ? 10 : raw / unit > 2 ? 5 : raw / unit > 1 ? 2 : 1);
}

static void put_axes(fl_text *t, const bounds *b) {
    const double ys = tick_step(b->y1 - b->y0), xs = tick_step(b->x1 - b->x0);
    for (double y = ceil(b->y0 / ys) * ys; y <= b->y1; y += ys) {
        fl_text_printf(t, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>",
                       LEFT, WIDTH - RIGHT, py(b, y), py(b, y));
        fl_text_printf(t, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>", LEFT - 6,
                       py(b, y) + 4, fabs(y) < 1e-12 ? 0 : y);
    }
    for (double x = ceil(b->x0 / xs) * xs; x <= b->x1; x += xs)
        fl_text_printf(t, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>", px(b, x),
                       HEIGHT - 8, x);
}

static void put_curve(fl_text *t, const curve *c, const bounds *b, const char *class) {
    if (c->n == 0) return;
    fl_text_printf(t, "<polyline class=\"%s\" points=\"", class);
    for (int i = 0; i < c->n; i++) fl_text_printf(t, "%.1f,%.1f ", px(b, c->x[i]), py(b, c->y[i]));
    fl_text_puts(t, "\"/>");
}

static void put_chart(fl_text *t, const chart *ch, const json_t *lines) {
    curve a, b = {.n = 0};
    bounds box = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    make_curve(&a, lines, ch->a, ch->scale);
    if (ch->b) make_curve(&b, lines, ch->b, ch->scale);
    if (a.n == 0) return;
    include(&box, &a);
    include(&box, &b);
    if (box.x1 <= box.x0) box.x1 = box.x0 + 1;
    const double margin = box.y1 > box.y0 ? 0.05 * (box.y1 - box.y0)
                                          : 0.5 * fmax(fabs(box.y1), 1e-6);
    box.y0 -= margin, box.y1 += margin;
    fl_text_printf(t, "<figure><figcaption>%s", ch->title);
    if (b.n)
        fl_text_printf(t,
                       "<span class=\"key\"><i style=\"background:var(--a)\"></i>%s<i "
                       "style=\"background:var(--b)\">"
                       "</i>%s</span>",
                       ch->name_a, ch->name_b);
    fl_text_printf(t, "</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">",
                   WIDTH, HEIGHT, ch->title);
    put_axes(t, &box);
    put_curve(t, &a, &box, "a");
    put_curve(t, &b, &box, "b");
    fl_text_puts(t, "</svg></figure>\n");
}

/* ---- the rest of the page ---- */

typedef enum { TILE_COUNT, TILE_REAL, TILE_SECONDS, TILE_BYTES } tile_kind;
static const struct {
    const char *field, *label;
    tile_kind kind;
} tiles[] = {
    {"val_bpb", "bits per byte, held out", TILE_REAL},
    {"val_loss", "loss, held out", TILE_REAL},
    {"loss", "loss, last step", TILE_REAL},
    {"parameters", "parameters", TILE_COUNT},
    {"tokens", "tokens trained on", TILE_COUNT},
    {"step", "steps", TILE_COUNT},
    {"seconds", "time", TILE_SECONDS},
    {"tokens_per_second", "tokens per second", TILE_COUNT},
    {"flops", "operations", TILE_COUNT},
    {"peak_bytes", "most memory", TILE_BYTES},
};

static void put_tiles(fl_text *t, const json_t *run) {
    fl_text_puts(t, "<div class=\"tiles\">");
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        const json_t *v = json_object_get(run, tiles[i].field);
        char text[FL_HUMAN];
        if (!json_is_number(v)) continue;
        const double x = json_number_value(v);
        if (tiles[i].kind == TILE_REAL) snprintf(text, sizeof text, "%.4f", x);
        else if (tiles[i].kind == TILE_COUNT) fl_human_count(x, text);
        else if (tiles[i].kind == TILE_BYTES) fl_human_bytes(x, text);
        else fl_human_seconds(x, text);
        fl_text_printf(t, "<div class=\"tile\"><b>%s</b><span>%s</span></div>", text,
                       tiles[i].label);
    }
    fl_text_puts(t, "</div>\n");
}

static void put_samples(fl_text *t, const json_t *samples) {
    const size_t n = json_array_size(samples);
    if (n == 0) return;
    fl_text_puts(t, "<h2>What it wrote</h2>\n");
    for (size_t i = n; i-- > 0;) {
        const json_t *s = json_array_get(samples, i);
        const char *text = json_string_value(json_object_get(s, "text"));
        fl_text_printf(t, "<div class=\"sample\"><b>step %" JSON_INTEGER_FORMAT "</b>",
                       json_integer_value(json_object_get(s, "step")));
        put_escaped(t, text ? text : "");
        fl_text_puts(t, "</div>\n");
    }
}

static void put_settings(fl_text *t, const json_t *recipe) {
    const char *name;
    json_t *v;
    fl_text_puts(t, "<details><summary>Settings</summary><table>\n");
    json_object_foreach((json_t *)recipe, name, v) {
        fl_text value = {0};
        if (json_is_string(v)) fl_text_puts(&value, json_string_value(v));
        else fl_json_print(&value, v, 0);
        fl_text_puts(t, "<tr><td>");
        put_escaped(t, name);
        fl_text_puts(t, "</td><td>");
        put_escaped(t, fl_text_str(&value));
        fl_text_puts(t, "</td></tr>\n");
        t->failed |= value.failed;
        fl_text_clear(&value);
    }
    fl_text_puts(t, "</table></details>\n");
}

/* What the page is made of. */
typedef struct {
    json_t *metrics, *samples, *recipe, *run;
} sources;

static fl_status read_sources(sources *s, const char *dir, fl_err *err) {
    char path[FL_PATH_MAX];
    FL_TRY(fl_path_join(path, dir, "metrics.jsonl", err));
    FL_TRY(fl_lines_read(&s->metrics, path, INT64_MAX, err));
    FL_TRY(fl_path_join(path, dir, "samples.jsonl", err));
    FL_TRY(fl_lines_read(&s->samples, path, INT64_MAX, err));
    FL_TRY(fl_path_join(path, dir, "recipe.yaml", err));
    if (fl_path_exists(path)) FL_TRY(fl_yaml_load(&s->recipe, path, err));
    FL_TRY(fl_path_join(path, dir, "run.json", err));
    return fl_json_load(&s->run, path, err);
}

static const char *word(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void put_page(fl_text *t, const sources *s, const char *dir) {
    const char *name = fl_path_base(dir);
    fl_text_puts(t, head);
    put_escaped(t, name);
    fl_text_puts(t, style);
    fl_text_puts(t, "<h1>");
    put_escaped(t, name);
    fl_text_puts(t, "</h1><div class=\"dim\">");
    put_escaped(t, word(s->run, "end"));
    fl_text_printf(t, ", %s, on ", word(s->run, "date"));
    put_escaped(t, word(s->run, "machine"));
    fl_text_printf(t, ", %d threads</div>\n",
                   (int)json_integer_value(json_object_get(s->run, "threads")));
    put_tiles(t, s->run);
    fl_text_puts(t, "<div class=\"charts\">\n");
    for (size_t i = 0; i < sizeof charts / sizeof *charts; i++)
        put_chart(t, &charts[i], s->metrics);
    fl_text_puts(t, "</div>\n");
    put_samples(t, s->samples);
    put_settings(t, s->recipe);
    fl_text_puts(t, "</main></body></html>\n");
}

fl_status fl_report_write(const char *dir, fl_err *err) {
    sources s = {0};
    fl_text t = {0};
    char path[FL_PATH_MAX];
    fl_status st = read_sources(&s, dir, err);
    if (st == FL_OK) put_page(&t, &s, dir);
    if (st == FL_OK) st = fl_text_ok(&t, err);
    if (st == FL_OK) st = fl_path_join(path, dir, "report.html", err);
    if (st == FL_OK) st = fl_file_write(path, fl_text_str(&t), t.n, err);
    fl_text_clear(&t);
    json_decref(s.metrics);
    json_decref(s.samples);
    json_decref(s.recipe);
    json_decref(s.run);
    return st == FL_OK ? st : fl_context(err, st, "report");
}
