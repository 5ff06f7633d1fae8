// The picture with its skeletons, and a tip about the joint under the pointer.

import { jointName } from "./keypoints.js";
import { drawPoses } from "./draw.js";
import { called, nearestJoint, number, samePlace, score } from "./poses.js";

// How near, in CSS pixels, a pointer must be to a joint.
const REACH = { mouse: 14, pen: 14, touch: 28 };
const GAP = 14;

export class Stage {
  #frame;
  #canvas;
  #tip;
  #image = null;
  #picture = null;
  #persons = [];
  #threshold = 0;
  #focus = null;
  #hovered = null;

  // `onHover` and `onPick` are called with a place, or null for none.
  constructor(frame, { onHover, onPick }) {
    this.#frame = frame;
    this.#canvas = frame.querySelector("canvas");
    this.#tip = frame.querySelector(".tip");
    new ResizeObserver(() => this.#paint()).observe(this.#canvas);
    const hover = (place) => {
      if (!samePlace(place, this.#hovered)) onHover((this.#hovered = place));
    };
    frame.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") hover(this.#placeAt(event));
    });
    frame.addEventListener("pointerleave", () => hover(null));
    frame.addEventListener("click", (event) => onPick(this.#placeAt(event)));
  }

  // Plays a video behind the pictures that are taken of it.
  play(video) {
    this.#frame.prepend(video);
    this.#frame.style.setProperty("--width", video.videoWidth);
    this.#frame.style.setProperty("--height", video.videoHeight);
    this.#frame.hidden = false;
  }

  // Shows another picture, without skeletons.
  show(picture) {
    const { image, width, height } = (this.#picture = picture);
    this.#frame.style.setProperty("--width", width);
    this.#frame.style.setProperty("--height", height);
    if (this.#image) this.#image.replaceWith(image);
    else this.#canvas.before(image);
    this.#image = image;
    this.#frame.hidden = false;
    this.draw([], 0, null);
  }

  // Draws people; `focus` is a place to highlight, null for none.
  draw(persons, threshold, focus) {
    this.#persons = persons;
    this.#threshold = threshold;
    this.#focus = focus;
    if (!this.#picture) return;
    // An `alt` would do for an <img>, but a <canvas> has none.
    this.#image.role = "img";
    this.#image.ariaLabel =
      `${this.#picture.name}, ${number(persons.length, "person", "people")} shown`;
    this.#paint();
  }

  // CSS pixels to a pixel of the picture.
  #cssScale() {
    return this.#canvas.clientWidth / this.#picture.width;
  }

  #placeAt(event) {
    if (!this.#picture) return null;
    const bounds = this.#canvas.getBoundingClientRect();
    const scale = this.#cssScale();
    const point = [(event.clientX - bounds.left) / scale, (event.clientY - bounds.top) / scale];
    const reach = (REACH[event.pointerType] ?? REACH.mouse) / scale;
    return nearestJoint(this.#persons, point, reach, this.#threshold);
  }

  #paint() {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!this.#picture || !clientWidth) return;
    const unit = devicePixelRatio;
    // Setting a size clears the canvas.
    this.#canvas.width = Math.round(clientWidth * unit);
    this.#canvas.height = Math.round(clientHeight * unit);
    const scale = this.#canvas.width / this.#picture.width;
    const context = this.#canvas.getContext("2d");
    drawPoses({ context, scale, unit, threshold: this.#threshold }, this.#persons, this.#focus);
    this.#placeTip();
  }

  #placeTip() {
    const person = this.#persons[this.#focus?.person];
    this.#tip.hidden = !person;
    if (!person) return;
    const keypoint = person.kpts[this.#focus.joint];
    const name = `person ${called(person, this.#focus.person)}`;
    const scores = `detection ${score(person.detScore)}, keypoints ${score(person.kptScore)}`;
    const [title, detail] = this.#tip.children;
    title.textContent = keypoint ? `${jointName(this.#focus.joint)} ${score(keypoint[2])}` : name;
    detail.textContent = keypoint ? `${name}: ${scores}` : scores;
    const [left, top, right, bottom] = person.bbox.map((value) => value * this.#cssScale());
    const [x, y] = keypoint?.map((value) => value * this.#cssScale()) ?? [(left + right) / 2, top];
    // It would hide most of a small person.
    const small = bottom - top < 3 * this.#tip.offsetHeight;
    this.#moveTip(x, ...(small ? [top, bottom] : [y, y]));
  }

  // Above a range of heights, below where there is no room, and never beyond the picture's sides.
  #moveTip(x, top, bottom) {
    const { offsetWidth: width, offsetHeight: height } = this.#tip;
    const left = Math.max(Math.min(x - width / 2, this.#canvas.clientWidth - width), 0);
    const above = top - GAP - height;
    const below = Math.min(bottom + GAP, this.#canvas.clientHeight - height);
    this.#tip.style.translate = `${left}px ${above < 0 ? below : above}px`;
  }
}
