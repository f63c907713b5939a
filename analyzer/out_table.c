/* SPDX-License-Identifier: MIT
 *
 * See out_table.h. */
#include "out_table.h"

#include "compiler.h"
#include "emit.h"
#include "term.h"
#include "text.h"

#include <inttypes.h>
#include <string.h>

static size_t shown(const struct output_job *job, const struct table *table)
{
    return MIN(job->top, table->row_count);
}

/* ---- text: numbers to the right, texts to the left, the last column as wide as it is ---- */

#define WIDTH_MAX 40 /* of a column of text that is not the last */

static size_t cell_width(const struct table *table, size_t row, size_t column)
{
    const union table_cell *cell = &table_row(table, row)[column];
    char number[TEXT_NUMBER_SIZE];
    if (table->columns[column].number)
        return strlen(text_number(number, cell->number));
    return cell->text ? MIN(strlen(cell->text), (size_t)WIDTH_MAX) : 1;
}

static size_t column_width(const struct output_job *job, const struct table *table, size_t column)
{
    size_t width = strlen(table->columns[column].name);
    for (size_t row = 0; row < shown(job, table); row++)
        width = MAX(width, cell_width(table, row, column));
    return width;
}

static void pad(FILE *out, size_t width, size_t used)
{
    for (; used < width; used++)
        fputc(' ', out);
}

static void put_text_cell(FILE *out, const struct table *table, size_t column, const union table_cell *cell,
                          size_t width)
{
    char number[TEXT_NUMBER_SIZE];
    fputs(column ? "  " : "", out);
    if (table->columns[column].number) {
        fprintf(out, "%*s", (int)width, text_number(number, cell->number));
        return;
    }
    text_escape(out, cell->text ? cell->text : "-");
    if (column + 1 < table->column_count)
        pad(out, width, cell->text ? strlen(cell->text) : 1);
}

int out_table_text(struct output_job *job, const struct table *table)
{
    FILE *out = job->out;
    size_t widths[TABLE_COLUMNS_MAX];
    fputs(term_style(job->options->color, STYLE_STRONG), out);
    for (size_t column = 0; column < table->column_count; column++) {
        const struct table_column *head = &table->columns[column];
        widths[column] = column_width(job, table, column);
        bool last = column + 1 == table->column_count;
        fprintf(out, "%s%*s", column ? "  " : "",
                last           ? 0
                : head->number ? (int)widths[column]
                               : -(int)widths[column],
                head->name);
    }
    fprintf(out, "%s\n", term_style(job->options->color, STYLE_NONE));
    for (size_t row = 0; row < shown(job, table); row++) {
        for (size_t column = 0; column < table->column_count; column++)
            put_text_cell(out, table, column, &table_row(table, row)[column], widths[column]);
        fputc('\n', out);
    }
    if (table->row_count > job->top)
        fprintf(out, "\nnot shown: %zu of %zu %s (--top 0 shows all)\n", table->row_count - job->top, table->row_count,
                table->name);
    return 0;
}

/* ---- the others ---- */

static void put_json_row(FILE *out, const struct table *table, const union table_cell *cells)
{
    for (size_t column = 0; column < table->column_count; column++) {
        fprintf(out, "%s\"%s\":", column ? "," : "{", table->columns[column].name);
        if (table->columns[column].number)
            fprintf(out, "%" PRIu64, MIN(cells[column].number, (uint64_t)INT64_MAX));
        else
            emit_json(out, cells[column].text);
    }
    fputc('}', out);
}

int out_table_json(struct output_job *job, const struct table *table)
{
    FILE *out = job->out;
    fprintf(out, "{\"schema\":\"memshim-table/1\",\n\"table\":\"%s\",\n\"count\":%zu,\n\"rows\":[", table->name,
            table->row_count);
    for (size_t row = 0; row < shown(job, table); row++) {
        fputs(row ? ",\n" : "\n", out);
        put_json_row(out, table, table_row(table, row));
    }
    fputs("]}\n", out);
    return 0;
}

int out_table_csv(struct output_job *job, const struct table *table)
{
    FILE *out = job->out;
    for (size_t column = 0; column < table->column_count; column++)
        fprintf(out, "%s%s", column ? "," : "", table->columns[column].name);
    fputs("\r\n", out);
    for (size_t row = 0; row < shown(job, table); row++) {
        const union table_cell *cells = table_row(table, row);
        for (size_t column = 0; column < table->column_count; column++) {
            fputs(column ? "," : "", out);
            if (table->columns[column].number)
                fprintf(out, "%" PRIu64, cells[column].number);
            else
                emit_csv(out, cells[column].text);
        }
        fputs("\r\n", out);
    }
    return 0;
}

/* Everything that could be markup is a character reference. */
static void put_markdown_text(FILE *out, const char *text)
{
    for (; text && *text; text++) {
        if (strchr("&<>|`*_[]\\~#@\r\n", *text))
            fprintf(out, "&#%d;", *text == '\n' || *text == '\r' ? ' ' : *text);
        else
            fputc(*text, out);
    }
}

int out_table_markdown(struct output_job *job, const struct table *table)
{
    FILE *out = job->out;
    char number[TEXT_NUMBER_SIZE];
    for (size_t column = 0; column < table->column_count; column++)
        fprintf(out, "| %s ", table->columns[column].name);
    fputs("|\n", out);
    for (size_t column = 0; column < table->column_count; column++)
        fputs(table->columns[column].number ? "|--:" : "|---", out);
    fputs("|\n", out);
    for (size_t row = 0; row < shown(job, table); row++) {
        const union table_cell *cells = table_row(table, row);
        for (size_t column = 0; column < table->column_count; column++) {
            fputs("| ", out);
            if (table->columns[column].number)
                fputs(text_number(number, cells[column].number), out);
            else
                put_markdown_text(out, cells[column].text);
            fputc(' ', out);
        }
        fputs("|\n", out);
    }
    if (table->row_count > job->top)
        fprintf(out, "\nNot shown: %zu of %zu %s.\n", table->row_count - job->top, table->row_count, table->name);
    return 0;
}
