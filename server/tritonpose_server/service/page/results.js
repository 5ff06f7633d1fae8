// Shows a picture and the people in it, and highlights one of them.

import { curlCommand } from "./curl.js";
import { color, jointName } from "./keypoints.js";
import { Listbox } from "./listbox.js";
import { forget } from "./picture.js";
import { called, number, personsAbove, samePlace, score, visible } from "./poses.js";
import { Stage } from "./stage.js";

export class Results {
  // Both null at first; `persons` also until the service has answered.
  picture = null;
  persons = null;
  #nodes;
  #stage;
  #personList;
  #keypointList;
  #remark = "";
  #selected = null;
  #hovered = null;

  // `nodes`: elements of the page by their ids.
  constructor(nodes) {
    this.#nodes = nodes;
    this.#stage = new Stage(nodes.frame, {
      onHover: (place) => this.#hover(place),
      onPick: (place) => this.select(place),
    });
    const placeOf = {
      person: (person) => person === null ? null : { person, joint: null },
      joint: (joint) => joint === null ? null : { person: this.#listed(), joint },
    };
    const listbox = (element, kind) =>
      new Listbox(element, {
        onChoose: (index) => this.select(placeOf[kind](index)),
        onHover: (index) => this.#hover(placeOf[kind](index)),
      });
    this.#personList = listbox(nodes.persons, "person");
    this.#keypointList = listbox(nodes.keypoints, "joint");
    nodes.detection.addEventListener("input", () => this.#render());
    nodes.keypoint.addEventListener("input", () => this.#render());
    this.#render();
  }

  // The people above the threshold.
  get shown() {
    return personsAbove(this.persons ?? [], this.detectionThreshold);
  }

  get detectionThreshold() {
    return this.#nodes.detection.valueAsNumber;
  }

  get keypointThreshold() {
    return this.#nodes.keypoint.valueAsNumber;
  }

  // Shows a picture with people, or with null until they are known; `remark` ends the status.
  show(picture, persons, remark = "") {
    if (picture !== this.picture) {
      forget(this.picture);
      this.picture = picture;
      this.#stage.show(picture);
    }
    if (!persons) this.#selected = this.#hovered = null;
    this.persons = persons;
    this.#remark = remark;
    this.#render();
  }

  // Makes room for a video, of which pictures are then shown.
  play(video) {
    this.#stage.play(video);
  }

  remark(text) {
    this.#remark = text;
    this.#renderStatus();
  }

  // Highlights a place until another is selected; null: none.
  select(place) {
    if (samePlace(place, this.#focused(this.#selected))) return;
    this.#selected = this.#withId(place);
    this.#render();
  }

  // Highlights a place while the pointer is there.
  #hover(place) {
    if (samePlace(place, this.#focused(this.#hovered))) return;
    this.#hovered = this.#withId(place);
    this.#render();
  }

  // A place with the id of its person, who may be elsewhere among the people of the next picture.
  #withId(place) {
    return place && { ...place, id: this.shown[place.person]?.trackId ?? null };
  }

  // Where that is now; null where the person has left the picture or is below the threshold.
  #focused(place) {
    if (!place) return null;
    const { shown } = this;
    const followed = place.id !== null && shown.some(({ trackId }) => trackId !== undefined);
    const person = followed ? shown.findIndex(({ trackId }) => trackId === place.id) : place.person;
    return shown[person] ? { person, joint: place.joint } : null;
  }

  // The place to highlight.
  #focus() {
    return this.#focused(this.#hovered) ?? this.#focused(this.#selected);
  }

  // The person whose keypoints are listed.
  #listed() {
    return this.#focus()?.person ?? 0;
  }

  #render() {
    const nodes = this.#nodes;
    const { shown } = this;
    const focus = this.#focus();
    this.#stage.draw(shown, this.keypointThreshold, focus);
    nodes.detectionValue.value = score(this.detectionThreshold);
    nodes.keypointValue.value = score(this.keypointThreshold);
    nodes.saveJson.disabled = nodes.savePng.disabled = !this.persons;
    nodes.personsHead.hidden = !shown.length;
    nodes.nobody.hidden = shown.length > 0;
    nodes.nobody.textContent = this.#whyNobody();
    this.#personList.render(
      shown.map((person, index) => this.#personEntry(person, index)),
      focus?.person ?? null,
    );
    const listed = this.#listed();
    nodes.keypointsSection.hidden = !shown.length;
    const name = shown[listed] ? called(shown[listed], listed) : listed + 1;
    nodes.keypointsTitle.textContent = `Keypoints of person ${name}`;
    this.#keypointList.render(
      (shown[listed]?.kpts ?? []).map((keypoint, joint) => this.#keypointEntry(keypoint, joint)),
      focus?.joint ?? null,
    );
    this.#renderStatus();
    this.#renderCommand();
  }

  #whyNobody() {
    if (!this.picture) return "No picture yet.";
    if (!this.persons) return "No answer yet.";
    return this.persons.length ? "Nobody has a score above the threshold." : "Nobody was found.";
  }

  #personEntry(person, index) {
    const { detScore, kptScore, kpts } = person;
    const name = called(person, index);
    const count = kpts.filter((keypoint) => visible(keypoint, this.keypointThreshold)).length;
    return {
      label:
        `Person ${name}: detection ${score(detScore)}, keypoints ${score(kptScore)}, ` +
        `${count} of ${kpts.length} keypoints shown`,
      cells: [`${name}`, score(detScore), score(kptScore), `${count}/${kpts.length}`],
    };
  }

  #keypointEntry(keypoint, joint) {
    const faint = !visible(keypoint, this.keypointThreshold);
    const value = score(keypoint[2]);
    return {
      label: `${jointName(joint)}: ${value}${faint ? ", not shown" : ""}`,
      cells: [jointName(joint), value],
      color: color(joint),
      faint,
    };
  }

  #renderStatus() {
    const parts = [this.#remark];
    if (this.persons) {
      parts.unshift(
        `${this.shown.length} of ${number(this.persons.length, "person", "people")} shown`,
        `${this.picture.width} × ${this.picture.height} pixels`,
      );
    }
    setText(this.#nodes.status, parts.filter(Boolean).join(" · "));
  }

  #renderCommand() {
    const nodes = this.#nodes;
    nodes.repeat.hidden = !this.picture;
    if (!this.picture) return;
    const { name, source } = this.picture;
    setText(nodes.command, curlCommand(this.picture, this.detectionThreshold));
    const unsaved = ["pasted", "webcam", "video"].includes(source);
    nodes.needs.hidden = source !== "file" && !unsaved;
    nodes.needsText.textContent = `It reads ${name} from the current directory.`;
    nodes.saveOriginal.hidden = !unsaved;
    nodes.saveOriginal.textContent = `Save ${name}`;
  }
}

// Doesn't touch equal text: it may be selected, or about to be read out.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
