// Where the people of moving pictures came from.

const SECONDS = 2;

const trails = new WeakMap();

export class Trails {
  #points = new Map();

  // Forgets everybody.
  clear() {
    this.#points.clear();
  }

  // Notes where people are at a time in seconds; `trailOf` then has their way until there.
  add(persons, time) {
    const current = new Map();
    for (const [id, points] of this.#points) {
      const recent = points.filter((point) => time - point.time <= SECONDS);
      if (recent.length) current.set(id, recent);
    }
    for (const person of persons) {
      if (person.trackId === null) continue;
      const [left, top, right, bottom] = person.bbox;
      const point = { x: (left + right) / 2, y: (top + bottom) / 2, time };
      const points = [...(current.get(person.trackId) ?? []), point];
      current.set(person.trackId, points);
      trails.set(person, points);
    }
    this.#points = current;
  }
}

// The points {x, y} of a person's way; none for people in photos.
export const trailOf = (person) => trails.get(person) ?? [];
