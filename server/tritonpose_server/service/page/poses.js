// Facts about the people in a result. A place is {person, joint}, indices; `joint` may be null.

// As in PaddleX: people need a score above the threshold.
export const personsAbove = (persons, threshold) =>
  persons.filter((person) => person.detScore > threshold);

// As in PaddleX: keypoints scored at the threshold are drawn.
export const visible = (keypoint, threshold) => keypoint[2] >= threshold;

// The place of the visible joint nearest to a point within a radius, all in pixels of the
// picture; null where there is none.
export function nearestJoint(persons, [x, y], radius, threshold) {
  let nearest = null;
  let least = radius;
  persons.forEach(({ kpts }, person) => {
    kpts.forEach((keypoint, joint) => {
      const distance = Math.hypot(keypoint[0] - x, keypoint[1] - y);
      if (visible(keypoint, threshold) && distance <= least) {
        nearest = { person, joint };
        least = distance;
      }
    });
  });
  return nearest;
}

// The number by which a person is called: the id, where people are followed, else the place.
export const called = ({ trackId }, index) => (trackId === undefined ? index + 1 : trackId ?? "new");

export const samePlace = (a, b) => a?.person === b?.person && a?.joint === b?.joint;

export const number = (count, one, many) => `${count} ${count === 1 ? one : many}`;

export const score = (value) => value.toFixed(2);
