// A curve of any length as at most some hundred points: means of as many neighbours as it takes.

const MOST = 300;

/** Five digits are more than a screen shows. */
const rounded = (value: number): number | null => (Number.isFinite(value) ? Number(value.toPrecision(5)) : null);

interface Sums {
  count: number;
  x: number;
  /** Per term: sum and count of its finite values. */
  values: { sum: number; count: number }[];
}

export class Thinned {
  #points: Sums[] = [];
  #stride = 1;

  /** Terms at a place `x`; always the same terms in the same order. */
  add(x: number, values: readonly number[]): void {
    const one: Sums = {
      ...{ count: 1, x },
      values: values.map((v) => (Number.isFinite(v) ? { sum: v, count: 1 } : { sum: 0, count: 0 })),
    };
    const last = this.#points.at(-1);
    if (last && last.count < this.#stride) this.#points.splice(-1, 1, joined(last, one));
    else this.#points.push(one);
    if (this.#points.length <= MOST) return;
    this.#stride *= 2;
    const pairs = Array.from({ length: Math.ceil(this.#points.length / 2) }, (_, i) =>
      this.#points.slice(2 * i, 2 * i + 2),
    );
    this.#points = pairs.map(([first, second]) => (second ? joined(first, second) : first));
  }

  /** Means about the places `x`; null where no value was finite. */
  get content(): { x: number[]; values: (number | null)[][] } {
    return {
      x: this.#points.map(({ x, count }) => rounded(x / count)!),
      values: this.#points.map(({ values }) => values.map(({ sum, count }) => rounded(sum / count))),
    };
  }
}

function joined(a: Sums, b: Sums): Sums {
  const values = a.values.map(({ sum, count }, k) => ({
    sum: sum + b.values[k].sum,
    count: count + b.values[k].count,
  }));
  return { count: a.count + b.count, x: a.x + b.x, values };
}
