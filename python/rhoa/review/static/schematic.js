// Schematic hips of each Kellgren-Lawrence grade, as closed shapes: medial on the left, as crops show hips.

import { svg } from "./marks.js";

const SOCKET = { x: 58, y: 60, radius: 31 };
const RIM = -35; // degrees, clockwise from lateral
const FLOOR = 125;
// head: how far it has moved from the middle of its socket, and its half axes; osteophytes: their length at
// the rim and the floor of the socket and at the upper and lower end of the head; sclerosis: its thickness
// in the roof and in the head; cysts: [degrees, from the middle of the socket, radius].
const SHAPES = {
  0: { head: [0, 0, 25, 25], osteophytes: [0, 0, 0, 0], sclerosis: [0, 0], cysts: [] },
  1: { head: [-2, 0, 25, 25], osteophytes: [0, 0, 4, 0], sclerosis: [0, 0], cysts: [] },
  2: { head: [-1.5, 3, 25, 25], osteophytes: [6, 0, 6, 4], sclerosis: [3, 0], cysts: [] },
  3: { head: [0.5, -4, 25.5, 24.5], osteophytes: [9, 6, 9, 8], sclerosis: [5.5, 3], cysts: [[-72, 34, 2.4]] },
  4: { head: [4, -8, 28, 22], osteophytes: [14, 10, 13, 12], sclerosis: [9, 6], cysts: [[-68, 35.5, 3.3], [-104, 35, 2.7], [-82, 17, 3.6]] },
};

const around = ({ x, y }, across, down, degrees) => [
  x + across * Math.cos((degrees * Math.PI) / 180),
  y + down * Math.sin((degrees * Math.PI) / 180),
];
const at = (point) => point.map((value) => value.toFixed(1)).join(" ");

/** A drawing of a hip with the signs of a grade. */
export function schematicHip(kl, title) {
  const { head, osteophytes, sclerosis, cysts } = SHAPES[kl];
  const [right, down, across, high] = head;
  const middle = { x: SOCKET.x + right, y: SOCKET.y + down };
  const socket = (degrees, beyond = 0) => around(SOCKET, SOCKET.radius + beyond, SOCKET.radius + beyond, degrees);
  const surface = (degrees, inside = 0) => around(middle, across - inside, high - inside, degrees);
  const arc = (radius, large, sweep, to) => `A${radius} ${radius} 0 ${large} ${sweep} ${at(to)}`;
  const ring = (from, to, radius, thick, place) =>
    `M${at(place(from, 0))} ${arc(radius, 0, 0, place(to, 0))} L${at(place(to, thick))} ${arc(radius, 0, 1, place(from, thick))}Z`;
  const beak = (point, towards, length) => {
    const base = { x: point[0], y: point[1] };
    const side = (turn) => around(base, length * 0.45, length * 0.45, towards + turn);
    return `M${at(side(90))} Q${at(around(base, length, length, towards + 12))} ${at(around(base, length * 1.15, length * 1.15, towards))} Q${at(around(base, length * 0.4, length * 0.4, towards - 30))} ${at(side(-90))}Z`;
  };
  const pelvis = `M${at(socket(RIM))} ${arc(SOCKET.radius, 1, 0, socket(FLOOR))} Q46 104 36 117 L4 117 L4 4 L108 4 Q100 26 ${at(socket(RIM))}Z`;
  const femur = `M${at(surface(-8))} Q90 72 98 73 Q99 57 107 57 Q116 58 116 74 L116 117 L86 117 Q84 104 ${at(surface(78))} A${across} ${high} 0 1 1 ${at(surface(-8))}Z`;
  const places = [[socket(RIM), 5], [socket(FLOOR), 10], [surface(-8), -25], [surface(78), 120]];
  return svg("svg", { viewBox: "0 0 120 120", role: "img", class: "hip" },
    svg("title", {}, title),
    svg("path", { class: "bone", d: pelvis }),
    svg("path", { class: "bone", d: femur }),
    ...(sclerosis[0] ? [svg("path", { class: "sclerosis", d: ring(RIM - 8, RIM - 95, SOCKET.radius, sclerosis[0], socket) })] : []),
    ...(sclerosis[1] ? [svg("path", { class: "sclerosis", d: ring(-45, -125, across, sclerosis[1], surface) })] : []),
    ...osteophytes.flatMap((length, n) => (length ? [svg("path", { class: "osteophyte", d: beak(...places[n], length) })] : [])),
    ...cysts.map(([degrees, from, r]) => {
      const [cx, cy] = around(SOCKET, from, from, degrees);
      return svg("circle", { class: "cyst", cx: cx.toFixed(1), cy: cy.toFixed(1), r });
    }));
}
