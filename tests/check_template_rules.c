/* check_template_rules - what a chat template may not do, and what its rendering promises.
 *
 * Every row must end in an error that says what is wrong, soon and within the memory allowed: a
 * template comes from whoever published the model. */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/json.h"
#include "check.h"
#include "token/template.h"

static json_t *messages;  // of the conversation that all rows see

static fl_conversation small(void) {
    return (fl_conversation){.messages = messages,
                             .now = 1764115200,
                             .limits = {.steps = 200000, .output = 1 << 16, .memory = 1 << 24}};
}

static fl_status render(const char *source, size_t n, const fl_conversation *c, fl_rendered *out,
                        fl_err *err) {
    fl_template *t;
    FL_TRY(fl_template_parse(&t, source, n, err));
    const fl_status s = fl_template_render(t, c, out, err);
    fl_template_free(t);
    return s;
}

static void check_refused(const char *what, const char *source, size_t n, const char *want) {
    fl_rendered r = {0};
    fl_err err = {0};
    const fl_conversation c = small();
    const clock_t start = clock();
    const fl_status s = render(source, n, &c, &r, &err);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    CHECKF(s != FL_OK && !r.text.data, "%.60s: rendered as %.40s", what, fl_text_str(&r.text));
    CHECKF(strstr(err.msg, want) != NULL, "%.60s: %s, want %s", what, err.msg, want);
    CHECKF(seconds < 5, "%.60s: took %.1f s", what, seconds);
    fl_rendered_clear(&r);
}

static const struct {
    const char *source, *want;
} rows[] = {
    // what does not end
    {"{{", "line 1: a tag is not ended by }}"},
    {"{%", "a tag is not ended by %}"},
    {"\n\n{{ 1", "line 3: a tag is not ended"},
    {"{#", "a comment is not ended by #}"},
    {"{# a #", "a comment is not ended"},
    {"{% raw %}x", "{% raw %} is not ended"},
    {"{% raw %}{% endraw", "{% raw %} is not ended"},
    {"{{ 'a }}", "a string is not ended by '"},
    {"{{ \"a\\\" }}", "a string is not ended by \""},
    {"{{ (1 }}", "'}' where ')' is due"},
    {"{{ [1, (2 }}", "'}' where ')' is due"},
    {"{{ {'a': 1 }}", "'}' closes nothing"},
    {"{% if a %}x", "line 1: {% if %} is not ended by {% elif|else|endif %}"},
    {"{% if a %}{% else %}x", "{% else %} is not ended by {% endif %}"},
    {"a\n{% for x in l %}", "line 2: {% for %} is not ended"},
    {"{% macro m() %}", "{% macro %} is not ended"},
    {"{% set x %}", "{% set %} is not ended"},
    {"{% call m() %}", "{% call %} is not ended"},
    {"{% filter upper %}", "{% filter %} is not ended"},
    {"{% generation %}", "{% generation %} is not ended"},
    {"{% with a = 1 %}", "{% with %} is not ended"},
    {"{% if a %}{% for x in l %}{% endif %}{% endfor %}", "'endif' ends nothing here"},
    {"{% endif %}", "the tag 'endif' ends nothing here"},
    {"{% else %}", "the tag 'else' ends nothing here"},
    // what is no template
    {"{% do x %}", "the tag 'do' is not known"},
    {"{% include 'x' %}", "the tag 'include' is not known"},
    {"{% extends 'x' %}", "the tag 'extends' is not known"},
    {"{% import 'os' as os %}", "the tag 'import' is not known"},
    {"{% %}", "a tag's name is due, but %} follows"},
    {"{% 1 %}", "a tag's name is due"},
    {"{{ }}", "an expression is due, but }} follows"},
    {"{{ 1 2 }}", "}} is due, but a constant follows"},
    {"{{ a b }}", "}} is due, but 'b' follows"},
    {"{{ 1 + }}", "an expression is due"},
    {"{{ * 1 }}", "an expression is due, but '*' follows"},
    {"{{ a. }}", "a name is due"},
    {"{{ a[ }}", "'}' where ']' is due"},
    {"{{ a[] }}", "an expression is due"},
    {"{{ a | }}", "a name is due"},
    {"{{ a is }}", "a name is due"},
    {"{{ a is string is none }}", "tests cannot be chained"},
    {"{{ f(a=1, 2) }}", "a positional argument after a named one"},
    {"{{ f(1 2) }}", "',' is due, but a constant follows"},
    {"{{ {1} }}", "':' is due"},
    {"{{ ) }}", "')' closes nothing"},
    {"{{ (] }}", "']' where ')' is due"},
    {"{{ a ? b }}", "'?' means nothing in a tag"},
    {"{{ a $ }}", "'$' means nothing in a tag"},
    {"{{ \x01 }}", "byte 0x01 means nothing"},
    {"{{ 99999999999999999999 }}", "too large for 64 bits"},
    {"{{ 0x1FFFFFFFFFFFFFFFFF }}", "too large for 64 bits"},
    {"{{ '\\ud83d' }}", "is no character"},
    {"{{ '\\U00110000' }}", "is no character"},
    {"{{ '\\xZZ' }}", "is no character"},
    {"{{ '\\N{DASH}' }}", "write the character itself"},
    {"\xff", "not UTF-8"},
    {"{{ '\xc3' }}", "not UTF-8"},
    {"{% set 1 = 2 %}", "a name to assign to is due"},
    {"{% set true = 2 %}", "a constant cannot be assigned to"},
    {"{% set a.b.c = 2 %}", "%} is due, but '.' follows"},
    {"{% for 1 in l %}{% endfor %}", "a name to assign to is due"},
    {"{% for x of l %}{% endfor %}", "'in' is due, but 'of' follows"},
    {"{% for x in l recursive %}{% endfor %}", "recursive loops are not supported"},
    {"{% macro m(a=1, b) %}{% endmacro %}", "a parameter without default after one with"},
    {"{% macro %}{% endmacro %}", "a name is due"},
    {"{% call x %}{% endcall %}", "not followed by a call"},
    {"{% break %}", "in no loop"},
    {"{% for x in l %}{% macro m() %}{% continue %}{% endmacro %}{% endfor %}", "in no loop"},
    {"{% if %}{% endif %}", "an expression is due"},
    // what cannot be done with a value
    {"{{ nothing.a }}", "'nothing' is undefined"},
    {"\n\n{{ nothing() }}", "line 3: 'nothing' is undefined"},
    {"{{ nothing + 1 }}", "'nothing' is undefined"},
    {"{{ nothing[0] }}", "'nothing' is undefined"},
    {"{{ nothing < 1 }}", "'nothing' is undefined"},
    {"{{ -nothing }}", "'nothing' is undefined"},
    {"{{ nothing|int }}", "'nothing' is undefined"},
    {"{{ messages[0].zz.y }}", "a dict has no 'zz'"},
    {"{{ messages[9].role }}", "a list has no '9'"},
    {"{{ none.x.y }}", "a none has no 'x'"},
    {"{{ nothing|tojson }}", "cannot be written as JSON"},
    {"{{ namespace()|tojson }}", "a namespace cannot be written as JSON"},
    {"{{ 'a' + 1 }}", "a string cannot be added to a integer"},
    {"{{ 1 / 0 }}", "division by zero"},
    {"{{ 1 // 0 }}", "division by zero"},
    {"{{ 1 % 0 }}", "division by zero"},
    {"{{ 1.0 % 0 }}", "division by zero"},
    {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
    {"{{ -9223372036854775807 - 2 }}", "beyond 64 bits"},
    {"{{ (-9223372036854775807 - 1) // -1 }}", "beyond 64 bits"},
    {"{{ 2 ** 64 }}", "beyond 64 bits"},
    {"{{ 1e300|int }}", "beyond 64 bits"},
    {"{{ 'x' < 1 }}", "have no order"},
    {"{{ ['x', 1]|sort }}", "have no order"},
    {"{{ {[1]: 2} }}", "a list cannot be a key"},
    {"{{ 1 in 2 }}", "a integer cannot be looped over"},
    {"{{ 1 in none }}", "nothing is in none"},
    {"{{ 1 in 'a' }}", "must be a string"},
    {"{{ 'a'() }}", "a string cannot be called"},
    {"{{ 5[1:2] }}", "a integer cannot be sliced"},
    {"{{ 'abc'[::0] }}", "a slice's step is zero"},
    {"{{ 'abc'['x':] }}", "must be an integer"},
    {"{{ 1|nope }}", "there is no filter 'nope'"},
    {"{{ 1 is nope }}", "there is no test 'nope'"},
    {"{{ [1]|map('nope')|list }}", "there is no filter 'nope'"},
    {"{{ [1]|select('nope')|list }}", "there is no test 'nope'"},
    {"{{ 'a'|replace('b') }}", "replace wants 2 arguments"},
    {"{{ 'a'|trim(1, 2) }}", "trim takes at most 1 arguments"},
    {"{{ 'a'|trim(x=1) }}", "trim: no parameter 'x'"},
    {"{{ 'a'|trim('a', chars='b') }}", "passed twice"},
    {"{{ 5|length }}", "a integer has no length"},
    {"{{ ([1]|map('string'))|length }}", "a generator has no length"},
    {"{% for x in 5 %}{% endfor %}", "a integer cannot be looped over"},
    {"{% for a, b in [[1]] %}{% endfor %}", "not as many as there are names"},
    {"{% for a, b in [[1, 2, 3]] %}{% endfor %}", "not as many as there are names"},
    {"{% set a, b = 'xyz' %}", "not as many as there are names"},
    {"{% set messages.x = 1 %}", "only a namespace's attributes can be set, not a list's"},
    {"{% set n = namespace() %}{% set n._x = 1 %}", "cannot begin with '_'"},
    {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "macro 'm' takes at most 1"},
    {"{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "macro 'm' has no parameter 'b'"},
    {"{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}", "'a' is passed twice"},
    {"{{ dict(**5) }}", "** wants a dict"},
    {"{{ dict([1]) }}", "cannot be looped over"},
    {"{{ range(1, 2, 0) }}", "the step of range is zero"},
    {"{{ range('a') }}", "must be an integer"},
    {"{{ raise_exception('no <tools>') }}", "the template refuses: no <tools>"},
    {"{{ [].pop() }}", "pop: a list of 0"},
    {"{{ (1,).append(2) }}", "a tuple cannot be changed"},
    {"{{ 'a'.split('') }}", "a separator is empty"},
    {"{{ 'a'.index('b') }}", "it is not in the string"},
    {"{{ ','.join([1]) }}", "must be a string"},
    {"{{ '%d' % 'a' }}", "wants a number"},
    {"{{ '%s %s' % (1,) }}", "wants more than 1 values"},
    {"{{ '%s' % (1, 2) }}", "leaves values over"},
    {"{{ '%(a' % {} }}", "%( without )"},
    {"{{ '%' % 1 }}", "an incomplete %"},
    {"{{ '%999999999d' % 1 }}", "an incomplete %"},
    {"{{ '{' .format(1) }}", "{ without }"},
    {"{{ '}'.format(1) }}", "} without {"},
    {"{{ '{5}'.format(1) }}", "wants more than 1 values"},
    {"{{ '{a}'.format(1) }}", "a value that is not given"},
    {"{{ '{:99999999}'.format(1) }}", "is no format of a value"},
    {"{{ '{:d}'.format('a') }}", "wants a number"},
    {"{{ 'a'.center(5, 'xy') }}", "one character"},
    {"{{ [1]|batch(0)|list }}", "a batch of 0"},
    {"{{ [1]|slice(-1)|list }}", "-1 slices"},
    {"{{ 1.5|round(1, 'up') }}", "round by common, ceil or floor"},
    {"{{ {}|dictsort(by='x') }}", "dictsort by key or value"},
    {"{{ messages.__class__.x }}", "a list has no '__class__'"},
    {"{{ ''.__class__.__mro__ }}", "a string has no '__class__'"},
    {"{{ range.__globals__.x }}", "a function has no '__globals__'"},
    // bombs
    {"{% for i in range(100001) %}{% endfor %}", "a range of more than 100000"},
    {"{{ range(0, 9223372036854775807, 1) }}", "a range of more than 100000"},
    {"{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
     "too many steps"},
    {"{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
     "it is stopped"},
    {"{% for i in range(9999) %}xxxxxxxxxxxxxxxx{% endfor %}", "more than 65536 bytes of text"},
    {"{{ 'x' * 100000 }}", "more than 65536 bytes of text"},
    {"{{ 'x' * 9223372036854775807 }}", "it is stopped"},
    {"{{ ('x' * 1000) * 1000000 }}", "it is stopped"},
    {"{{ [1] * 1000000000 }}", "it is stopped"},
    {"{{ [[1] * 1000] * 1000 * 1000 }}", "it is stopped"},
    {"{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
     "it is stopped"},
    {"{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
     "it is stopped"},
    {"{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
     "it is stopped"},
    {"{% set n = namespace(s='a') %}{% for i in range(99) %}{% set n.s = n.s|replace('a', 'aaaa') "
     "%}{% endfor %}",
     "it is stopped"},
    {"{{ ('a' * 60000).replace('', 'b' * 60000) }}", "it is stopped"},
    {"{{ ('b' * 60000).join(('a' * 60000)|list) }}", "it is stopped"},
    {"{% set n = namespace(l=[]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l, n.l] %}{% "
     "endfor %}{{ n.l }}",
     "it is stopped"},
    {"{% set n = namespace(l=1) %}{% for i in range(30) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ "
     "n.l|tojson }}",
     "it is stopped"},
    {"{% set n = namespace(a=1, b=1) %}{% for i in range(40) %}{% set n.a = [n.a, n.a] %}{% set "
     "n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}",
     "it is stopped"},
    {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nests too deeply"},
    {"{% macro m(x) %}{{ m([x]) }}{{ m([x]) }}{% endmacro %}{{ m(1) }}", "nests too deeply"},
    {"{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
     "it is stopped"},
    {"{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
     "nests too deeply"},
    {"{% macro m() %}{{ caller }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
     "nests too deeply"},
    {"{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% call m() %}{{ caller() }}{% "
     "endcall %}{% endcall %}",
     "'caller' is undefined"},
    {"{% set l = [] %}{% set x = l.append(l) %}{{ l }}", "nests too deeply"},
    {"{% set l = [] %}{% set x = l.append(l) %}{{ l|tojson }}", "nests too deeply"},
    {"{% set l = [] %}{% set x = l.append(l) %}{% set k = [] %}{% set x = k.append(k) %}{{ l == k "
     "}}",
     "nests too deeply"},
    {"{% set d = {} %}{% set x = d.update({'d': d}) %}{{ d }}", "nests too deeply"},
    {"{% set l = [1] %}{% for x in l %}{% set y = l.append(1) %}{% endfor %}{% for i in range(50) "
     "%}{% set y = l.extend(l) %}{% endfor %}",
     "it is stopped"},
    {"{% set m = namespace(t='a') %}{% for i in range(16) %}{% set m.t %}{{ m.t }}{{ m.t }}{{ m.t "
     "}}{{ m.t }}{% endset %}{% endfor %}",
     "it is stopped"},
    {"{{ ('a' * 60000)|indent('b' * 60000)|upper|title|e|tojson * 100 }}", "it is stopped"},
    {"{{ range(99999)|list|sort|unique|list }}", "too many steps"},
    {"{% for i in range(3000) %}{% for c in 'a' * 60000 %}{% endfor %}{% endfor %}",
     "it is stopped"},
    {"{{ '%10000s' * 100 % 1 }}", "wants more than"},
    {"{{ ('{0:10000}' * 100).format(1) }}", "bytes of text"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static void check_rows(void) {
    for (int i = 0; i < N_ROWS; i++)
        check_refused(rows[i].source, rows[i].source, strlen(rows[i].source), rows[i].want);
    printf("%d templates refused\n", N_ROWS);
}

/* before, n times `part`, middle, n times `end`, after. */
static void check_nested(const char *before, const char *part, const char *middle, const char *end,
                         const char *after, size_t n, const char *want) {
    fl_text t = {0};
    fl_text_puts(&t, before);
    for (size_t i = 0; i < n; i++) fl_text_puts(&t, part);
    fl_text_puts(&t, middle);
    for (size_t i = 0; i < n; i++) fl_text_puts(&t, end);
    fl_text_puts(&t, after);
    check_refused(part, t.data, t.n, want);
    fl_text_clear(&t);
}

static void check_nesting(void) {
    const size_t n = 50000;
    check_nested("{{ ", "(", "1", ")", " }}", n, "more than 256 open brackets");
    check_nested("{{ ", "(", "1", ")", " }}", 250, "nested deeper than 200");
    check_nested("{{ ", "[", "", "]", " }}", 250, "nested deeper than 200");
    check_nested("{{ ", "{1:", "1", "}", " }}", 250, "nested deeper than 200");
    check_nested("{{ ", "f(", "", ")", " }}", 250, "nested deeper than 200");
    check_nested("{{ ", "not ", "1", "", " }}", n, "nested deeper than 200");
    check_nested("{{ ", "-", "1", "", " }}", n, "nested deeper than 200");
    check_nested("{{ ", "1 if 1 else ", "1", "", " }}", n, "nested deeper than 200");
    check_nested("{{ x", ".a", "", "", " }}", n, "nests too deeply");
    check_nested("{{ 1", "|abs", "", "", " }}", n, "nests too deeply");
    check_nested("{{ 1", "+1", "", "", " }}", n, "nests too deeply");
    check_nested("{{ 1", " or 1", "", "", " }}", n, "nests too deeply");
    check_nested("", "{% if 1 %}", "", "{% endif %}", "", n / 3, "nested deeper than 200");
    check_nested("", "{% for x in l %}", "", "{% endfor %}", "", n / 3, "nested deeper than 200");
    check_nested("", "{% macro m() %}", "", "{% endmacro %}", "", n / 3, "nested deeper than 200");
    check_nested("{% set ", "(", "a", ")", " = 1 %}", 250, "nested deeper than 200");
    check_nested("", "{% if 0 %}{% else %}", "", "{% endif %}", "", n / 3,
                 "nested deeper than 200");
    check_nested("{% if 1 %}", "", "{{ x.y }}", "", "{% endif %}", 1, "'x' is undefined");
    check_nested("{% filter upper", "|upper", "%}{% endfilter %}", "", "{{ x.y }}", 5000, "'x'");
    static char long_name[1 << 21];
    memset(long_name, 'a', sizeof long_name);
    check_refused("2 MiB", long_name, sizeof long_name, "at most 1048576 are read");
}

/* A long chain of elif is no nesting. */
static void check_chain(void) {
    fl_text t = {0};
    fl_rendered r = {0};
    fl_err err = {0};
    const fl_conversation c = small();
    fl_text_puts(&t, "{% if 0 %}");
    for (int i = 0; i < 5000; i++) fl_text_puts(&t, "{% elif 0 %}");
    fl_text_puts(&t, "{% else %}end{% endif %}");
    CHECKF(render(t.data, t.n, &c, &r, &err) == FL_OK, "%s", err.msg);
    CHECK(strcmp(fl_text_str(&r.text), "end") == 0);
    fl_rendered_clear(&r);
    fl_text_clear(&t);
}

/* ---- promises ---- */

static const char *rendered(const char *source, const fl_conversation *c, fl_rendered *r) {
    fl_err err = {0};
    fl_rendered_clear(r);
    CHECKF(render(source, strlen(source), c, r, &err) == FL_OK, "%s: %s", source, err.msg);
    return fl_text_str(&r->text);
}

static void check_spans(void) {
    fl_rendered r = {0};
    const fl_conversation c = small();
    rendered("\xc3\xbc{% generation %}ab{% endgeneration %}-{% generation %}{% endgeneration %}",
             &c, &r);
    CHECK(r.n_assistant == 2 && r.n_unplaced == 0);
    CHECK(r.assistant[0].begin == 2 && r.assistant[0].end == 4);
    CHECK(r.assistant[1].begin == 5 && r.assistant[1].end == 5);
    rendered("{% macro m() %}{% generation %}a{% endgeneration %}{% endmacro %}{{ m() }}", &c, &r);
    CHECK(r.n_assistant == 0 && r.n_unplaced == 1);
    rendered("{% set x = 1 %}{% generation %}{% set x = 2 %}{% endgeneration %}{{ x }}", &c, &r);
    CHECK(strcmp(r.text.data, "1") == 0);
    fl_rendered_clear(&r);
}

/* What Jinja makes of these, and the generated cases do not reach. */
static void check_corners(void) {
    static const char *const corners[][2] = {
        {"{% for x in [1] %}{% continue %}{% else %}none ended{% endfor %}", "none ended"},
        {"{{ ['b', 'A', 'B', 'a']|sort(reverse=true)|join }}", "bBAa"},
        {"{{ '\u00fc\U0001F44D'|tojson(ensure_ascii=true) }}", "\"\\u00fc\\ud83d\\udc4d\""},
    };
    fl_rendered r = {0};
    const fl_conversation c = small();
    for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
        CHECKF(strcmp(rendered(corners[i][0], &c, &r), corners[i][1]) == 0, "%s: %s", corners[i][0],
               r.text.data);
    fl_rendered_clear(&r);
}

/* Each limit by itself ends a template that the others would let run. */
static void check_limits(void) {
    static const char loop[] =
        "{% for i in range(50000) %}{% set x = [1, 2, 3, 4, 5] %}{% endfor %}";
    static const char output[] = "{% for i in range(50000) %}0123456789{% endfor %}";
    static const char deep[] =
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(30) }}";
    static const struct {
        const char *source, *want;
        fl_template_limits limits;
    } cases[] = {
        {loop, "", {.steps = 1000000, .memory = 1 << 26}},
        {loop, "too many steps", {.steps = 100000, .memory = 1 << 26}},
        {loop, "too much memory", {.steps = 1000000, .memory = 1 << 21}},
        {output, "", {.output = 500000}},
        {output, "more than 499999 bytes of text", {.output = 499999}},
        {deep, "", {.depth = 300}},
        {deep, "nests too deeply", {.depth = 60}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_rendered r = {0};
        fl_err err = {0};
        fl_conversation c = {.messages = messages, .limits = cases[i].limits};
        const fl_status s = render(cases[i].source, strlen(cases[i].source), &c, &r, &err);
        CHECKF((s == FL_OK) == !*cases[i].want && strstr(err.msg, cases[i].want), "%zu: %s", i,
               err.msg);
        fl_rendered_clear(&r);
    }
}

/* Going on with the last message ends the text there, and what the assistant says too. */
static void check_continued(void) {
    fl_rendered r = {0};
    fl_conversation c = small();
    c.continue_final_message = true;
    rendered(
        "{% generation %}{{ messages[-1].content }}!{% endgeneration %}{% generation %}x{% "
        "endgeneration %}",
        &c, &r);
    CHECK(strcmp(r.text.data, "Paris.") == 0 && r.n_assistant == 2);
    CHECK(r.assistant[0].begin == 0 && r.assistant[0].end == 6);
    CHECK(r.assistant[1].begin == 6 && r.assistant[1].end == 6);
    rendered("{{ messages[-1].content | trim }} !", &c, &r);
    CHECK(strcmp(r.text.data, "Paris.") == 0);
    fl_rendered_clear(&r);
}

/* Fields that are null are as if they were not there. */
static void check_null(void) {
    fl_rendered r = {0};
    json_t *list = json_pack("[{s:s, s:n, s:s}]", "role", "assistant", "content", "reasoning",
                             "so");
    const fl_conversation c = {.messages = list};
    CHECK(strcmp(rendered("{{ messages[0].content is defined }} {{ messages[0].thinking }} {{ "
                          "messages[0].reasoning_content }}",
                          &c, &r),
                 "False so so") == 0);
    json_decref(list);
    fl_rendered_clear(&r);
}

/* A macro sees the names around it also when the block it stands in has ended. */
static void check_kept_macro(void) {
    fl_rendered r = {0};
    const fl_conversation c = small();
    CHECK(strcmp(rendered("{% set n = namespace() %}{% set x %}{% set y = 'kept' %}{% macro m() "
                          "%}{{ y }}"
                          "{% endmacro %}{% set n.f = m %}{% endset %}{{ n.f() }}",
                          &c, &r),
                 "kept") == 0);
    CHECK(strcmp(rendered("{% set n = namespace() %}{% for x in [] %}{% else %}{% set y = 'kept' "
                          "%}{% macro m() "
                          "%}{{ y }}{% endmacro %}{% set n.f = m %}{% endfor %}{{ n.f() }}",
                          &c, &r),
                 "kept") == 0);
    fl_rendered_clear(&r);
}

/* What a template does to its values, the next rendering does not see. */
static void check_immutable(void) {
    static const char source[] = "{% set x = messages.pop() %}{{ messages|length }}{{ x.role }}";
    fl_rendered r = {0};
    const fl_conversation c = small();
    json_t *before = json_deep_copy(messages);
    for (int i = 0; i < 2; i++) CHECK(strcmp(rendered(source, &c, &r), "2assistant") == 0);
    CHECK(json_equal(before, messages));
    json_decref(before);
    fl_rendered_clear(&r);
}

static void check_time(void) {
    fl_rendered r = {0};
    const fl_conversation c = small();
    CHECK(strncmp(rendered("{{ strftime_now('%Y-%m') }}", &c, &r), "2025-11", 7) == 0);
    rendered("{{ strftime_now('%100000Y') }}", &c, &r);
    CHECK(r.text.n < 256);
    fl_rendered_clear(&r);
}

/* Bad conversations are refused, not guessed at. */
static void check_conversations(void) {
    fl_rendered r = {0};
    fl_err err = {0};
    json_t *bad = json_pack("[s]", "hello"), *object = json_object();
    fl_conversation c = {.messages = object};
    CHECK(render("x", 1, &c, &r, &err) != FL_OK && strstr(err.msg, "messages: a list"));
    c.messages = bad;
    CHECK(render("x", 1, &c, &r, &err) != FL_OK && strstr(err.msg, "messages[0]: an object"));
    c = small();
    c.variables = bad;
    CHECK(render("x", 1, &c, &r, &err) != FL_OK && strstr(err.msg, "variables: an object"));
    c = small();
    c.continue_final_message = true;
    CHECK(render("x", 1, &c, &r, &err) != FL_OK && strstr(err.msg, "leaves out the last"));
    CHECK(!r.text.data);
    json_decref(bad);
    json_decref(object);
}

/* ---- named templates ---- */

static void check_named(void) {
    const char *source = NULL, *names = fl_template_names();
    fl_err err = {0};
    fl_rendered r = {0};
    json_t *variables = json_pack("{s:s, s:s}", "bos_token", "<s>", "eos_token", "</s>");
    for (const char *at = names; *at; at += strcspn(at, ","), at += 2 * (*at == ',')) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
        const fl_named_template *t = fl_template_named(name);
        CHECKF(t && strcmp(t->name, name) == 0, "%s", name);
        fl_conversation c = small();
        c.variables = variables;
        if (t) rendered(t->source, &c, &r);
        CHECKF(r.n_assistant == 1 && r.n_unplaced == 0, "%s: %zu spans", name, r.n_assistant);
        const char *said = r.n_assistant ? strstr(r.text.data + r.assistant[0].begin, "Paris.")
                                         : NULL;
        CHECKF(said && said + 6 <= r.text.data + r.assistant[0].end, "%s: %s", name, r.text.data);
    }
    CHECK(fl_template_choose(&source, "own", NULL, NULL, &err) == FL_OK && !strcmp(source, "own"));
    CHECK(fl_template_choose(&source, "own", "chatml", NULL, &err) == FL_OK);
    CHECK(source == fl_template_named("chatml")->source);
    CHECK(fl_template_choose(&source, "own", "nope", NULL, &err) == FL_ERR_ARG);
    CHECK(strstr(err.msg, "\"nope\"") && strstr(err.msg, names));
    CHECK(fl_template_choose(&source, NULL, NULL, NULL, &err) == FL_ERR_ARG);
    CHECK(strstr(err.msg, "has no chat template") && strstr(err.msg, names));
    json_decref(variables);
    fl_rendered_clear(&r);
}

static void check_suggestion(void) {
    static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    const fl_bpe_opts o = {.vocab_size = 262, .special = special, .n_special = 3};
    fl_bpe_trainer *trainer;
    fl_tokenizer *t;
    fl_err err = {0};
    const char *source;
    CHECK(fl_bpe_trainer_new(&trainer, &o, &err) == FL_OK);
    CHECK(fl_bpe_trainer_feed(trainer, "some text, some text", 20, &err) == FL_OK);
    CHECK(fl_bpe_trainer_finish(trainer, &t, NULL, &err) == FL_OK);
    const fl_named_template *named = fl_template_suggest(t);
    CHECK(named && strcmp(named->name, "chatml") == 0);
    CHECK(fl_template_choose(&source, NULL, NULL, t, &err) == FL_ERR_ARG);
    CHECKF(strstr(err.msg, "made for \"chatml\"") != NULL, "%s", err.msg);
    json_t *variables = fl_template_variables(t);
    const char *eos = json_string_value(json_object_get(variables, "eos_token"));
    CHECK(eos && strcmp(eos, "<|endoftext|>") == 0 && !json_object_get(variables, "bos_token"));
    json_decref(variables);
    fl_tokenizer_free(t);
    fl_bpe_trainer_free(trainer);
}

/* The n-th allocation fails, for every n until none does. */
static void check_memory(void) {
    static const char source[] =
        "{% macro m(a) %}{{ a|upper }}{% endmacro %}{% for m1 in messages %}{% set x %}{{ "
        "m(m1.role) }}"
        "{% endset %}{% generation %}{{ x ~ loop.length ~ [1, {'a': 2}]|tojson }}{% endgeneration "
        "%}"
        "{% endfor %}{{ 'a,b'.split(',')|sort|join('%s' % 1) }}";
    const fl_conversation c = small();
    for (long n = 1;; n++) {
        fl_rendered r = {0};
        fl_err err = {0};
        fl_alloc_fail_at(n);
        const fl_status s = render(source, sizeof source - 1, &c, &r, &err);
        const bool reached = fl_alloc_fail_at(0);
        CHECKF(reached ? s == FL_ERR_NOMEM && err.msg[0] : s == FL_OK, "allocation %ld: %s", n,
               err.msg);
        fl_rendered_clear(&r);
        if (!reached) return;
    }
}

int main(void) {
    messages = json_pack("[{s:s,s:s}, {s:s,s:s}, {s:s,s:s}]", "role", "system", "content", "Brief.",
                         "role", "user", "content", "Capital?", "role", "assistant", "content",
                         "Paris.");
    check_rows();
    check_nesting();
    check_chain();
    check_spans();
    check_corners();
    check_limits();
    check_continued();
    check_null();
    check_kept_macro();
    check_immutable();
    check_time();
    check_conversations();
    check_named();
    check_suggestion();
    check_memory();
    json_decref(messages);
    return check_report();
}
