// What `inline.js` puts here is loaded where nobody says from where: a function that gives the module's bytes.

export const inlined = { module: undefined };
